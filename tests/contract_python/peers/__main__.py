"""Runs one hook of a charm that is made of somebody else's library, on a scene given as JSON.

A charm is a class of one of the modules beside this one. The hook is about a relation of its `ENDPOINT`, or of the only
one in its `META`; `understood` says what the library made of it once the hook is over. Standard input holds the scene:

    {"charm": "tracing.Requirer", "options": {...}, "event": "changed", "unit": "grafana/0", "leader": true,
     "model": {"name": ..., "uuid": ...}, "relation": {...}, "others": {"endpoint": [{...}]}, "secrets": [...]}

`others` are the unit's other relations; those of endpoints that the charm does not have are left out.

and standard output gets what became of it:

    {"said": ..., "emitted": [...], "local_app_data": {...}, "local_unit_data": {...}, "secrets": [...]}

`emitted` names the library's own events. The log goes to standard error.
"""

import importlib
import json
import logging
import sys
from datetime import datetime

import ops
from scenario import Context, Model, Relation, Secret, State


def run(scene):
    module, name = scene["charm"].split(".")
    charm = getattr(importlib.import_module(module), name)
    charm.options = scene["options"]
    endpoints = {**charm.META.get("provides", {}), **charm.META.get("requires", {})}
    endpoint = getattr(charm, "ENDPOINT", next(iter(endpoints)))

    relation = relation_of(endpoint, endpoints, scene["relation"])
    others = [
        relation_of(name, endpoints, sight)
        for name, sights in scene["others"].items()
        for sight in sights
        if name in endpoints
    ]
    state = State(
        leader=scene["leader"],
        model=Model(**scene["model"]),
        relations=[relation, *others],
        secrets=[secret_of(secret) for secret in scene["secrets"]],
    )
    app, unit = scene["unit"].split("/")
    context = Context(charm, charm.META, app_name=app, unit_id=int(unit), juju_version="3.6.0")
    about = {}
    if scene["event"] in ("joined", "changed", "departed") and relation.remote_units_data:
        about["remote_unit"] = min(relation.remote_units_data)
    event = getattr(context.on, "relation_" + scene["event"])(relation, **about)
    with context(event, state) as manager:
        after = manager.run()
        said = manager.charm.understood()

    emitted = [type(event).__name__ for event in context.emitted_events]
    relation = after.get_relation(relation.id)
    return {
        "said": said,
        "emitted": [name for name in emitted if not hasattr(ops, name)],
        "local_app_data": relation.local_app_data,
        "local_unit_data": relation.local_unit_data,
        "secrets": [text_of(secret) for secret in after.secrets if secret.owner],
    }


def relation_of(endpoint, endpoints, sight):
    # Names of members are text in JSON.
    units = {int(unit): bag for unit, bag in sight["remote_units_data"].items()}
    return Relation(endpoint, endpoints[endpoint]["interface"], **{**sight, "remote_units_data": units})


def secret_of(values):
    # Python 3.10 does not know Z.
    expire = values["expire"] and datetime.fromisoformat(values["expire"].replace("Z", "+00:00"))
    return Secret(values["content"], **{**values["about"], "expire": expire})


def text_of(secret):
    about = {"id": secret.id, "owner": secret.owner, "label": secret.label}
    return {
        "about": about,
        "content": secret.latest_content,
        "expire": secret.expire and secret.expire.isoformat(),
    }


logging.basicConfig(level=logging.INFO)
json.dump(run(json.load(sys.stdin)), sys.stdout)
