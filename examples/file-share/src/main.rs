//! A whole charm with a workload: nginx serves the files of a storage to whoever knows the password.
//!
//! The leader chooses the password and keeps it in a secret of the application, so that every unit knows it and it outlives
//! all of them. The action `password` tells it, or makes a new one.

use std::{fs::File, io::Read as _, process::ExitCode};

use juju_ops::{
    Error, Event, Hook, NewSecret, OrBlocked as _, OrFail as _, Port, SecretContent, SecretOwner, SecretRef,
};
use juju_pebble::{FileWrite, Layer, Workload};
use serde::{Deserialize, Serialize};

/// The options in charmcraft.yaml.
#[derive(Deserialize)]
struct Config {
    user: String,
}

/// The parameters of the action `password`.
#[derive(Deserialize)]
struct Params {
    renew: bool,
}

/// The results of the action `password`.
#[derive(Serialize)]
struct Login<'a> {
    user: &'a str,
    password: &'a str,
}

const LAYER: &str = "
services: {nginx: {override: replace, command: nginx -g 'daemon off;', startup: enabled}}
checks: {up: {override: replace, tcp: {port: 8080}}}
";

const NGINX_CONF: &str = "
pid /tmp/nginx.pid;
error_log /dev/stderr;
events {}
http {
    access_log off;
    server {
        listen 8080;
        root /srv/files;
        autoindex on;
        auth_basic files;
        auth_basic_user_file /etc/nginx/passwords;
    }
}
";

fn main() -> ExitCode {
    juju_ops::run(reconcile)
}

/// Looks at all there is and does what follows from it, whatever event came.
async fn reconcile(hook: Hook) -> Result<(), Error> {
    if matches!(hook.event(), Event::Stop | Event::Remove) {
        return Ok(());
    }
    let config: Config = hook.config().await.or_blocked(&hook).await?;
    let renew = match hook.action() {
        Some(action) => action.params::<Params>().await.or_fail(&action).await?.renew,
        None => false,
    };
    let Some(password) = password(&hook, renew).await? else {
        return Ok(hook.waiting("for the leader to choose a password").await?);
    };
    if let Some(action) = hook.action() {
        action.set(&Login { user: &config.user, password: &password }).await?;
    }
    if hook.storages("files").await?.is_empty() {
        return Ok(hook.waiting("for the storage files").await?);
    }
    let workload = Workload {
        label: "nginx".into(),
        layer: Layer::from_yaml(LAYER)?,
        files: vec![
            FileWrite::new("/etc/nginx/nginx.conf", NGINX_CONF),
            FileWrite::private("/etc/nginx/passwords", format!("{}:{{PLAIN}}{password}\n", config.user)),
        ],
    };
    match workload.ensure(&*hook.container("web")).await {
        Ok(_) => {}
        Err(error) if error.is_connection() => return Ok(hook.waiting("for the container web").await?),
        Err(error) => return Err(error.into()),
    }
    hook.set_ports([Port::tcp(8080)]).await?;
    Ok(hook.active("").await?)
}

/// The password that all units share; the leader chooses it. `None` while there is none yet.
async fn password(hook: &Hook, renew: bool) -> Result<Option<String>, Error> {
    let secrets = hook.secrets();
    if !hook.is_leader().await? {
        let content = secrets.peek(SecretRef::Label("password")).await?.ok();
        return Ok(content.and_then(|content| content.get("password").map(str::to_owned)));
    }
    let new = SecretContent::from_iter([("password", random()?)]);
    let label = NewSecret::labelled("password");
    let (id, mut content) = secrets.get_or_add(SecretOwner::App, label, || new.clone()).await?;
    if renew {
        secrets.set(&id, &new).await?;
        content = new;
    }
    // A secret that is new gives nobody a hook. This does, so that the others look for it.
    for share in hook.relations("share").await? {
        share.set_app([("password".to_owned(), Some(id.to_string()))]);
    }
    Ok(content.get("password").map(str::to_owned))
}

/// As many random digits as nobody guesses.
fn random() -> Result<String, Error> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests;
