//! Tests of the Terraform modules, for which neither Terraform nor its provider for Juju is needed: names are those of `metadata.yaml`
//! and `charmcraft.yaml`, whatever is used is declared, and what a module computes is what it should.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use hcl::eval::{Context, Evaluate, FuncArgs, FuncDef, ParamType};
use hcl::expr::{Expression, ObjectKey, Operation, TraversalOperator};
use hcl::structure::{Block, BlockLabel, Structure};
use hcl::template::{Directive, Element, Template};
use hcl::{Body, Value, value};

use crate::pack::yaml;
use crate::process::repository;

/// The modules, by their folder.
const COORDINATOR: &str = "terraform";
const STACK: &str = "terraform/stack";
/// The files of a module.
const FILES: [&str; 4] = ["main.tf", "outputs.tf", "variables.tf", "versions.tf"];

/// What resources of the provider can be told, as its documentation names it: attributes and blocks that are used here.
const SCHEMA: [(&str, &[&str]); 6] = [
    (
        "juju_application",
        &[
            "charm",
            "config",
            "constraints",
            "count",
            "for_each",
            "model_uuid",
            "name",
            "resources",
            "storage_directives",
            "trust",
            "units",
        ],
    ),
    ("charm", &["base", "channel", "name", "revision"]),
    ("juju_integration", &["application", "count", "for_each", "model_uuid"]),
    ("juju_offer", &["application_name", "endpoints", "for_each", "model_uuid", "name"]),
    ("juju_secret", &["info", "model_uuid", "name", "value"]),
    ("juju_access_secret", &["applications", "model_uuid", "secret_id"]),
];
/// What can be asked of them.
const COMPUTED: [(&str, &[&str]); 4] = [
    ("juju_application", &["name"]),
    ("juju_integration", &[]),
    ("juju_offer", &["url"]),
    ("juju_secret", &["secret_id"]),
];

/// Roles of workers, and those without which there is no cluster.
const ROLES: [&str; 7] =
    ["all", "compactor", "distributor", "ingester", "metrics-generator", "querier", "query-frontend"];
const NEEDED: [&str; 5] = ["compactor", "distributor", "ingester", "querier", "query-frontend"];

/// A module: all of its files as one.
struct Module(Body);

impl Module {
    fn read(folder: &str) -> Self {
        let mut body = Vec::new();
        for file in FILES {
            let path = repository().join(folder).join(file);
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let parsed = hcl::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            body.extend(parsed);
        }
        Self(body.into_iter().collect())
    }

    /// Blocks of a kind, by their last label.
    fn blocks(&self, kind: &str) -> BTreeMap<String, &Block> {
        let blocks = self.0.blocks().filter(|block| block.identifier() == kind);
        blocks.map(|block| (block.labels().last().unwrap().as_str().to_owned(), block)).collect()
    }

    fn names(&self, kind: &str) -> BTreeSet<String> {
        self.blocks(kind).into_keys().collect()
    }

    /// Resources as `type.name`.
    fn resources(&self) -> BTreeMap<String, &Block> {
        let blocks = self.0.blocks().filter(|block| block.identifier() == "resource");
        let name =
            |block: &Block| block.labels().iter().map(BlockLabel::as_str).collect::<Vec<_>>().join(".");
        blocks.map(|block| (name(block), block)).collect()
    }

    fn output(&self, name: &str) -> &Expression {
        attribute(self.blocks("output")[name], "value")
    }

    /// Whether all validations of a variable hold for a value.
    fn accepts(&self, variable: &str, value: &Value) -> bool {
        let mut context = functions();
        context.declare_var("var", value!({ (variable) = (value.clone()) }));
        let block = self.blocks("variable")[variable];
        let mut conditions = block
            .body()
            .blocks()
            .filter(|block| block.identifier() == "validation")
            .map(|block| attribute(block, "condition").evaluate(&context).unwrap())
            .peekable();
        assert!(conditions.peek().is_some(), "{variable} has no validation");
        conditions.all(|held| held == Value::Bool(true))
    }
}

fn attribute<'a>(block: &'a Block, name: &str) -> &'a Expression {
    let found = block.body().attributes().find(|attribute| attribute.key() == name);
    found.unwrap_or_else(|| panic!("{} {:?} has no {name}", block.identifier(), block.labels())).expr()
}

/// A list's items; none of what is no list.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Terraform's functions that the modules use.
fn functions() -> Context<'static> {
    let mut context = Context::new();
    let any = || FuncDef::builder().variadic_param(ParamType::Any);
    context.declare_func(
        "alltrue",
        any().build(|args: FuncArgs| {
            Ok(Value::from(list(&args[0]).iter().all(|value| *value == Value::Bool(true))))
        }),
    );
    context.declare_func(
        "contains",
        any().build(|args: FuncArgs| Ok(Value::from(list(&args[0]).contains(&args[1])))),
    );
    context.declare_func(
        "keys",
        any().build(|args: FuncArgs| {
            Ok(args[0].as_object().into_iter().flat_map(|map| map.keys().cloned()).collect::<Value>())
        }),
    );
    context.declare_func(
        "merge",
        any().build(|args: FuncArgs| {
            let maps = args.iter().filter_map(Value::as_object).flatten();
            Ok(maps.map(|(key, value)| (key.clone(), value.clone())).collect::<Value>())
        }),
    );
    context.declare_func(
        "coalesce",
        any().build(|args: FuncArgs| {
            args.iter().find(|value| !value.is_null()).cloned().ok_or_else(|| "all are null".to_owned())
        }),
    );
    context.declare_func(
        "floor",
        any().build(|args: FuncArgs| {
            args[0].as_f64().map(|number| Value::from(number.floor())).ok_or_else(|| "no number".to_owned())
        }),
    );
    context
}

/// Every expression in a body, with what is in it.
fn walk_body(body: &Body, see: &mut impl FnMut(&Expression)) {
    for structure in body {
        match structure {
            Structure::Attribute(attribute) => walk(attribute.expr(), see),
            Structure::Block(block) => walk_body(block.body(), see),
        }
    }
}

fn walk(expression: &Expression, see: &mut impl FnMut(&Expression)) {
    see(expression);
    match expression {
        Expression::Array(items) => items.iter().for_each(|item| walk(item, see)),
        Expression::Object(object) => {
            for (key, value) in object {
                if let ObjectKey::Expression(key) = key {
                    walk(key, see);
                }
                walk(value, see);
            }
        }
        Expression::TemplateExpr(template) => {
            for element in Template::from_expr(template).unwrap().elements() {
                match element {
                    Element::Interpolation(interpolation) => walk(&interpolation.expr, see),
                    Element::Directive(directive) => panic!("not expected: {:?}", kind(directive)),
                    Element::Literal(_) => {}
                }
            }
        }
        Expression::Traversal(traversal) => {
            walk(&traversal.expr, see);
            for operator in &traversal.operators {
                if let TraversalOperator::Index(index) = operator {
                    walk(index, see);
                }
            }
        }
        Expression::FuncCall(call) => call.args.iter().for_each(|argument| walk(argument, see)),
        Expression::Parenthesis(inner) => walk(inner, see),
        Expression::Conditional(conditional) => {
            for part in [&conditional.cond_expr, &conditional.true_expr, &conditional.false_expr] {
                walk(part, see);
            }
        }
        Expression::Operation(operation) => match operation.as_ref() {
            Operation::Unary(unary) => walk(&unary.expr, see),
            Operation::Binary(binary) => {
                walk(&binary.lhs_expr, see);
                walk(&binary.rhs_expr, see);
            }
        },
        Expression::ForExpr(for_expr) => {
            walk(&for_expr.collection_expr, see);
            walk(&for_expr.value_expr, see);
            for part in for_expr.key_expr.iter().chain(&for_expr.cond_expr) {
                walk(part, see);
            }
        }
        _ => {}
    }
}

fn kind(directive: &Directive) -> &'static str {
    match directive {
        Directive::If(_) => "if",
        Directive::For(_) => "for",
    }
}

/// What a body refers to: paths such as `var.units` or `juju_application.worker`, with all names that follow each other.
fn references(body: &Body) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    walk_body(body, &mut |expression| {
        let Expression::Traversal(traversal) = expression else { return };
        let Expression::Variable(root) = &traversal.expr else { return };
        let mut path = vec![root.to_string()];
        for operator in &traversal.operators {
            // Which of several does not matter here.
            if let TraversalOperator::GetAttr(name) = operator {
                path.push(name.to_string());
            }
        }
        found.push(path);
    });
    found
}

/// A key of a YAML file's mapping.
fn keys(file: &str, path: &[&str]) -> BTreeSet<String> {
    let mut value = yaml(&repository().join(file)).unwrap();
    for key in path {
        value = value[*key].take();
    }
    let keys: BTreeSet<String> = value.as_object().unwrap().keys().cloned().collect();
    assert!(!keys.is_empty());
    keys
}

fn provides() -> BTreeSet<String> {
    keys("metadata.yaml", &["provides"])
}

fn requires() -> BTreeSet<String> {
    keys("metadata.yaml", &["requires"])
}

/// A map with one key for a validation, and a set with it.
fn one(key: &str) -> Value {
    value!({ (key) = {} })
}

#[test]
fn nothing_else_is_a_module() {
    for folder in [COORDINATOR, STACK] {
        let entries = fs::read_dir(repository().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        let files: BTreeSet<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|extension| extension == "tf")).collect();
        assert_eq!(files, FILES.iter().map(|file| repository().join(folder).join(file)).collect());
    }
}

#[test]
fn endpoints_are_those_of_the_charm() {
    let module = Module::read(COORDINATOR);
    for (output, endpoints) in [("provides", provides()), ("requires", requires())] {
        let named = |endpoint: &String| (endpoint.replace('-', "_"), Value::from(endpoint.as_str()));
        let wanted: Value = endpoints.iter().map(named).collect();
        assert_eq!(module.output(output).evaluate(&functions()).unwrap(), wanted, "{output}");
    }
}

#[test]
fn options_are_those_of_the_charm() {
    let module = Module::read(COORDINATOR);
    for option in keys("charmcraft.yaml", &["config", "options"]) {
        assert!(module.accepts("config", &one(&option)), "{option}");
    }
    assert!(module.accepts("config", &value!({})));
    assert!(!module.accepts("config", &one("retention_period")));
    assert_eq!(literals(&module, "config"), keys("charmcraft.yaml", &["config", "options"]));
}

#[test]
fn resources_are_those_of_the_charm() {
    let module = Module::read(COORDINATOR);
    for resource in keys("metadata.yaml", &["resources"]) {
        assert!(module.accepts("resources", &one(&resource)), "{resource}");
    }
    assert!(!module.accepts("resources", &one("tempo-image")));
    assert_eq!(literals(&module, "resources"), keys("metadata.yaml", &["resources"]));
}

/// All strings in the conditions of a variable's validations.
fn literals(module: &Module, variable: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let validations = module.blocks("variable")[variable].body().blocks();
    for block in validations.filter(|block| block.identifier() == "validation") {
        walk(attribute(block, "condition"), &mut |expression| {
            if let Expression::String(text) = expression {
                found.insert(text.clone());
            }
        });
    }
    found
}

#[test]
fn units_are_a_whole_number() {
    let module = Module::read(COORDINATOR);
    assert!(module.accepts("units", &value!(0)) && module.accepts("units", &value!(3)));
    assert!(!module.accepts("units", &value!((-1))) && !module.accepts("units", &value!(1.5)));
}

#[test]
fn offers_are_for_endpoints_of_the_charm() {
    let module = Module::read(STACK);
    let known: BTreeSet<String> = provides().union(&requires()).cloned().collect();
    let offers = literals(&module, "offers");
    assert!(offers.is_subset(&known), "{offers:?}");
    // The stack itself relates workers and the bucket, and requirers come by what it offers. A mesh does not cross models this way.
    let own = [
        "provide-cmr-mesh",
        "require-cmr-mesh",
        "s3",
        "service-mesh",
        "tempo-api",
        "tempo-cluster",
        "tracing",
    ];
    assert_eq!(offers, known.iter().filter(|endpoint| !own.contains(&endpoint.as_str())).cloned().collect());

    let offered = literals(&module, "offered");
    let mesh = "provide-cmr-mesh".to_owned();
    assert_eq!(offered, provides().into_iter().filter(|endpoint| *endpoint != mesh).collect());
    assert!(
        module.accepts("offered", &value!(["tracing", "tempo-api"]))
            && module.accepts("offered", &value!([]))
    );
    assert!(!module.accepts("offered", &value!(["s3"])));
}

#[test]
fn workers_make_a_whole_cluster() {
    let module = Module::read(STACK);
    let workers =
        |roles: &[&str]| roles.iter().map(|role| ((*role).to_owned(), value!({}))).collect::<Value>();
    assert!(module.accepts("workers", &workers(&NEEDED)) && module.accepts("workers", &workers(&["all"])));
    for role in NEEDED {
        let rest: Vec<&str> = NEEDED.into_iter().filter(|needed| *needed != role).collect();
        assert!(!module.accepts("workers", &workers(&rest)), "{role} is not missed");
    }
    assert!(module.accepts("workers", &workers(&ROLES)));
    assert!(!module.accepts("workers", &workers(&["all", "backend"])));
    let default = attribute(module.blocks("variable")["workers"], "default").evaluate(&functions()).unwrap();
    assert!(module.accepts("workers", &default));
}

#[test]
fn a_worker_has_its_role_and_no_other() {
    let module = Module::read(STACK);
    let config = attribute(module.resources()["juju_application.worker"], "config");
    let evaluate = |role: &str| {
        let mut context = functions();
        context.declare_var("each", value!({ key = role, value = { config = { cpu_limit = "1" } } }));
        config.evaluate(&context).unwrap()
    };
    assert_eq!(
        evaluate("query-frontend"),
        value!({ "role-all" = "false", "role-query-frontend" = "true", "cpu_limit" = "1" })
    );
    assert_eq!(evaluate("all"), value!({ "role-all" = "true", "cpu_limit" = "1" }));
}

#[test]
fn a_worker_is_named_after_its_cluster_and_role_unless_it_has_a_name() {
    let module = Module::read(STACK);
    let name = attribute(module.resources()["juju_application.worker"], "name");
    for (given, wanted) in [(Value::Null, "tempo-querier"), (Value::from("reader"), "reader")] {
        let mut context = functions();
        context.declare_var("each", value!({ key = "querier", value = { app_name = given } }));
        context.declare_var("var", value!({ coordinator = { app_name = "tempo" } }));
        assert_eq!(name.evaluate(&context).unwrap(), Value::from(wanted));
    }
}

#[test]
fn what_is_not_asked_for_is_not_deployed() {
    let module = Module::read(STACK);
    for name in ["certificates", "ingress"] {
        for kind in ["juju_application", "juju_integration"] {
            let count = attribute(module.resources()[&format!("{kind}.{name}")], "count");
            for (given, wanted) in [(Value::Null, 0), (value!({}), 1)] {
                let mut context = functions();
                context.declare_var("var", value!({ (name) = given }));
                assert_eq!(count.evaluate(&context).unwrap(), Value::from(wanted), "{kind}.{name}");
            }
        }
        let default = attribute(module.blocks("variable")[name], "default");
        assert_eq!(*default, Expression::Null);
    }
}

#[test]
fn relations_of_the_stack_are_at_endpoints_of_the_charm() {
    let module = Module::read(STACK);
    let coordinator = Module::read(COORDINATOR);
    let output = |name| coordinator.output(name).evaluate(&functions()).unwrap();
    let mut related = BTreeSet::new();
    let resources = module.resources();
    for (name, block) in resources.iter().filter(|(name, _)| name.starts_with("juju_integration.")) {
        let sides: Vec<&Block> = block.body().blocks().collect();
        assert_eq!(sides.len(), 2, "{name}");
        let mut context = functions();
        let provided =
            value!({ app_name = "tempo", provides = (output("provides")), requires = (output("requires")) });
        context.declare_var("module", value!({ coordinator = provided }));
        context.declare_var("each", value!({ key = "logging", value = { name = "tempo-worker" } }));
        let evaluate = |key| attribute(sides[0], key).evaluate(&context).unwrap();
        assert_eq!(evaluate("name"), Value::from("tempo"), "{name}: the coordinator comes first");
        related.insert(evaluate("endpoint").as_str().unwrap().to_owned());
    }
    let wanted = ["certificates", "ingress", "logging", "s3", "tempo-cluster"];
    assert_eq!(related, wanted.map(str::to_owned).into());
}

#[test]
fn the_stack_says_everything_to_the_coordinator_that_it_can_be_told() {
    let stack = Module::read(STACK);
    let coordinator = Module::read(COORDINATOR);
    let call = stack.blocks("module")["coordinator"];
    let mut told: BTreeSet<String> =
        call.body().attributes().map(|attribute| attribute.key().to_owned()).collect();
    assert!(told.remove("source"));
    assert_eq!(told, coordinator.names("variable"));
    // What it can be told of the coordinator has the same names.
    let mut named = BTreeSet::new();
    walk(attribute(stack.blocks("variable")["coordinator"], "type"), &mut |expression| {
        if let Expression::Object(object) = expression {
            named.extend(object.keys().map(ToString::to_string));
        }
    });
    told.remove("model_uuid");
    assert_eq!(named, told);
}

#[test]
fn what_is_used_is_declared_and_what_is_declared_is_used() {
    for folder in [COORDINATOR, STACK] {
        let module = Module::read(folder);
        let (variables, resources) = (module.names("variable"), module.resources());
        let mut used = BTreeSet::new();
        for path in references(&module.0) {
            match path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["var", name, ..] => {
                    assert!(variables.contains(*name), "{folder}: no variable {name}");
                    // A validation is no use.
                    used.insert((*name).to_owned());
                }
                ["each", "key" | "value", ..] => {}
                ["module", name, output, ..] => {
                    assert_eq!(*name, "coordinator");
                    assert!(
                        Module::read(COORDINATOR).names("output").contains(*output),
                        "no output {output}"
                    );
                }
                [kind, name, rest @ ..] if kind.starts_with("juju_") => {
                    assert!(resources.contains_key(&format!("{kind}.{name}")), "{folder}: no {kind}.{name}");
                    let known = COMPUTED.iter().find(|(known, _)| known == kind).unwrap().1;
                    assert!(rest.iter().all(|key| known.contains(key)), "{kind} has no {rest:?}");
                }
                // Names of a `for` in the same expression.
                ["application" | "offer", "name" | "url"] => {}
                other => panic!("{folder}: {other:?} is not known"),
            }
        }
        let mut wanted = BTreeSet::new();
        for block in module.0.blocks().filter(|block| block.identifier() != "variable") {
            wanted.extend(
                references(block.body())
                    .into_iter()
                    .filter(|path| path[0] == "var")
                    .map(|path| path[1].clone()),
            );
        }
        assert_eq!(wanted, variables, "{folder}: variables that nothing uses");
        assert!(used.is_superset(&wanted));
    }
}

#[test]
fn resources_are_told_what_the_provider_knows() {
    let known =
        |kind: &str| SCHEMA.iter().find(|(known, _)| *known == kind).unwrap_or_else(|| panic!("{kind}")).1;
    for folder in [COORDINATOR, STACK] {
        for (name, block) in Module::read(folder).resources() {
            let (kind, _) = name.split_once('.').unwrap();
            for attribute in block.body().attributes() {
                assert!(known(kind).contains(&attribute.key()), "{name} has no {}", attribute.key());
            }
            for inner in block.body().blocks() {
                assert!(known(kind).contains(&inner.identifier()), "{name} has no {}", inner.identifier());
                if inner.identifier() == "charm" {
                    let mut keys = inner.body().attributes().map(hcl::Attribute::key);
                    assert!(keys.all(|key| known("charm").contains(&key)), "{name}");
                } else {
                    let keys: Vec<&str> = inner.body().attributes().map(hcl::Attribute::key).collect();
                    assert!(
                        matches!(keys.as_slice(), ["name", "endpoint"] | ["offer_url"]),
                        "{name}: {keys:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn everything_is_described_here_and_in_the_readme() {
    for folder in [COORDINATOR, STACK] {
        let readme = fs::read_to_string(repository().join(folder).join("README.md")).unwrap();
        let module = Module::read(folder);
        for kind in ["variable", "output"] {
            for (name, block) in module.blocks(kind) {
                let Expression::String(text) = attribute(block, "description") else {
                    panic!("{folder}: {name}")
                };
                assert!(text.ends_with('.') || text.contains(". "), "{folder}: {name}");
                assert!(
                    readme.contains(&format!("| `{name}` |")),
                    "{folder}/README.md says nothing of {name}"
                );
            }
        }
    }
}

#[test]
fn secrets_are_marked_as_such() {
    let module = Module::read(STACK);
    for name in ["s3_access_key", "s3_secret_key"] {
        assert_eq!(*attribute(module.blocks("variable")[name], "sensitive"), Expression::Bool(true));
    }
    let outputs = module.0.blocks().filter(|block| block.identifier() == "output");
    for path in outputs.flat_map(|block| references(block.body())) {
        assert!(!path.iter().any(|part| part.starts_with("s3_")), "{path:?} is shown");
    }
}
