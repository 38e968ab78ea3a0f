//! A charm's `main`.

use std::{process::ExitCode, sync::Arc};

use juju_pebble::Pebble;
use tracing_subscriber::layer::SubscriberExt as _;

#[cfg(feature = "traces")]
use crate::traces::Tracer;
use crate::{
    Event, Hook, HookEnv,
    hook::Containers,
    log::juju_log,
    security,
    stop::finish,
    tools::{Auto, HookTools},
    watch::Watch,
};

/// What a charm's function fails with. Any error converts into it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Runs a charm: reads the environment, calls `charm`, sends the planned databag writes, logs to Juju.
///
/// Exit codes: 0 when the charm returned `Ok` or a [`Stop`](crate::Stop), or the event is unknown (a newer Juju, or an
/// endpoint that this revision no longer has); 1 when it failed, so that the agent drops what the hook wrote, and
/// retries; 2 when no Juju agent started the program.
///
/// Hook tools are called over the agent's socket where that works, else as processes; `JUJU_OPS_TRANSPORT` forces one
/// ([`Auto`]).
///
/// A panic ends the process with 1 at once, with the panic's message in the log: what was written is dropped, and no core
/// file is left that could hold secrets.
///
/// Log events of level `INFO` and above reach `juju debug-log`; `JUJU_OPS_LOG=debug` (or `trace`, `warn`, `error`)
/// in the charm's environment changes that.
pub fn run<F, R>(charm: F) -> ExitCode
where
    F: FnOnce(Hook) -> R,
    R: Future<Output = Result<(), Error>>,
{
    start(
        charm,
        #[cfg(feature = "traces")]
        None,
    )
}

/// [`run`], with a folder for traces that could not be sent other than the usual one.
pub(crate) fn start<F, R>(charm: F, #[cfg(feature = "traces")] folder: Option<std::path::PathBuf>) -> ExitCode
where
    F: FnOnce(Hook) -> R,
    R: Future<Output = Result<(), Error>>,
{
    let var = |name: &str| std::env::var(name).ok();
    let env = match HookEnv::from_vars(var) {
        Ok(env) => env,
        Err(error) => {
            eprintln!("ERROR {error}");
            return ExitCode::from(2);
        }
    };
    // A hook inside a hook: something that the charm started has started the charm.
    if var("OPERATOR_DISPATCH").is_some_and(|value| !value.is_empty()) {
        return ExitCode::SUCCESS;
    }
    let appid = security::appid(&env);
    std::panic::set_hook(Box::new(move |panic| panicked(&appid, panic)));
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ERROR cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    #[cfg(feature = "traces")]
    let tracer = Tracer::begin(&env, folder);
    let code = runtime.block_on(async {
        let auto = Arc::new(Auto::from_vars(var));
        let tools: Arc<dyn HookTools> = Arc::clone(&auto) as _;
        let level = var("JUJU_OPS_LOG").and_then(|level| level.parse().ok()).unwrap_or(tracing::Level::INFO);
        let (layer, writer, flush) = juju_log(level);
        let watch = Watch {
            log: layer.for_unit(&env),
            #[cfg(feature = "traces")]
            traces: tracer.collector(),
        };
        // Fails only where the program has installed another subscriber, which it then meant to.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(watch));
        tokio::spawn(writer.run(tools.clone()));
        let hook = Hook::new(env.clone(), Event::from_vars(var), tools, pebble_sockets(&env));
        #[cfg(feature = "traces")]
        tracer.attach(&hook);
        let mut failed = dispatch(hook.clone(), charm).await.err();
        if auto.is_in_doubt() {
            let doubt = "the agent may have missed a change, so all of the hook has to be done again";
            tracing::error!("{doubt}");
            failed.get_or_insert_with(|| doubt.to_owned());
        }
        // Whoever takes traces can hold up nothing that the hook has done or said.
        #[cfg(feature = "traces")]
        tracer.end(&hook, &var("JUJU_DISPATCH_PATH").unwrap_or_default(), failed.as_deref()).await;
        flush.flush().await;
        auto.close().await;
        if failed.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    });
    // Not waited for: a name that is still being looked up.
    runtime.shutdown_background();
    code
}

/// Says why the charm gives up, and gives up.
fn panicked(appid: &str, panic: &std::panic::PanicHookInfo<'_>) {
    let message = format!("the charm panicked, which is a bug of its own: {panic}");
    // The runtime may be what has panicked, so the log is reached without it; the agent keeps standard error as well.
    eprintln!("ERROR {message}");
    for (level, line) in [
        ("ERROR", &message),
        ("TRACE", &security::crash_line(appid, std::time::SystemTime::now(), &panic.to_string())),
    ] {
        let _ = std::process::Command::new("juju-log").args(["-l", level, "--", line]).status();
    }
    std::process::exit(1);
}

/// Pebble clients for the sockets that Juju mounts into the charm container.
fn pebble_sockets(env: &HookEnv) -> Containers {
    let folder = env.containers.clone();
    Arc::new(move |name: &str| {
        let client: Arc<dyn Pebble> =
            Arc::new(juju_pebble::Client::new(folder.join(name).join("pebble.socket")));
        client
    })
}

/// Runs the charm. The error is why the hook failed, as it was logged.
async fn dispatch<F, R>(hook: Hook, charm: F) -> Result<(), String>
where
    F: FnOnce(Hook) -> R,
    R: Future<Output = Result<(), Error>>,
{
    if let Event::Unknown(name) = hook.event() {
        tracing::debug!("nothing to do for unknown event {name:?}");
        return Ok(());
    }
    let event = hook.event().name();
    let result = charm(hook.clone()).await;
    finish(&hook, result).await.map_err(|error| {
        let reason = format!("{event}: {}", chain(&*error));
        tracing::error!("{reason}");
        reason
    })
}

/// An error with its causes, in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |mut text, cause| {
        let cause = cause.to_string();
        // Transparent errors repeat their cause's text.
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        text
    })
}
