//! How the hook tools of a charm in this process are answered.

#[cfg(feature = "processes")]
use std::sync::Mutex;
use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use juju_ops::tools::HookTools;

use crate::{
    session::AgentPaths,
    world::{Direct, Way, World},
};

/// Environment variable that chooses the backend of a whole test run.
const VARIABLE: &str = "JUJU_SIM_BACKEND";

/// How the hook tools of a charm in this process are answered. What a charm sees and what an [`Outcome`](crate::Outcome)
/// holds are the same with all of them; so tests that pass with one show, run with another, that the transports of
/// `juju-ops` do not differ.
///
/// ```console
/// $ cargo test --test transitions
/// $ JUJU_SIM_BACKEND=socket cargo test --test transitions
/// $ cargo build -p juju-sim --bin jujuc && JUJU_SIM_BACKEND=process cargo test --test transitions
/// ```
///
/// Faults and steps are above the transport: a refused step is not sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// By a function call.
    #[default]
    InProcess,
    /// Over a unix socket, with the protocol of real agents.
    Socket,
    /// By one process for each call, which asks over the same socket: the documented interface. Some milliseconds per call.
    /// Needs the hook-tool client ([`find_jujuc`](crate::find_jujuc)).
    Processes,
}

impl Backend {
    /// The one that `JUJU_SIM_BACKEND` asks for: `socket`, `process`, or `in-process`, which is also the default.
    ///
    /// A test that runs thousands of hooks may run fewer where each call is a process.
    ///
    /// # Panics
    /// When the variable has another value, so that no run tests something else than was meant.
    #[must_use]
    pub fn from_env() -> Self {
        match std::env::var(VARIABLE).as_deref() {
            Err(_) | Ok("" | "in-process") => Self::InProcess,
            Ok("socket") => Self::Socket,
            Ok("process") => Self::Processes,
            Ok(other) => panic!("{VARIABLE} is in-process, socket or process, not {other:?}"),
        }
    }
}

/// What one hook's calls go through.
pub(crate) struct Stage {
    /// The hook's environment.
    pub(crate) env: BTreeMap<String, String>,
    /// The way of the charm's calls.
    pub(crate) calls: Way,
    /// The way of its log.
    pub(crate) log: Arc<dyn HookTools>,
    /// Answers until it is dropped.
    #[cfg(feature = "processes")]
    _agent: Option<(crate::wire::Agent, crate::wire::Serving)>,
}

impl Stage {
    /// Begins to answer.
    pub(crate) fn open(backend: Backend, charm_dir: &Arc<Path>, world: &Arc<World>) -> io::Result<Self> {
        if backend != Backend::InProcess {
            return Self::open_agent(backend, charm_dir, world);
        }
        let paths = AgentPaths {
            charm_dir: charm_dir.to_path_buf(),
            socket: "/agent.socket".into(),
            tools_dir: "/tools".into(),
            path: "/usr/bin:/bin".to_owned(),
            nonce: "0".repeat(32),
        };
        let direct = || Direct { world: world.clone(), cwd: charm_dir.clone() };
        Ok(Self {
            env: world.environment(&paths),
            calls: Way::Direct(direct()),
            log: Arc::new(direct()),
            #[cfg(feature = "processes")]
            _agent: None,
        })
    }

    #[cfg(not(feature = "processes"))]
    fn open_agent(_: Backend, _: &Arc<Path>, _: &Arc<World>) -> io::Result<Self> {
        Err(io::Error::other("juju-sim was built without its feature `processes`"))
    }

    #[cfg(feature = "processes")]
    fn open_agent(backend: Backend, charm_dir: &Arc<Path>, world: &Arc<World>) -> io::Result<Self> {
        use juju_ops::tools::{AgentSocket, Processes, Socket};

        let agent = crate::wire::Agent::new()?;
        let env = world.environment(&agent.paths(charm_dir));
        let get = |name: &str| env.get(name).cloned().unwrap_or_default();
        let answering = world.clone();
        let serving = agent.serve(get("JUJU_CONTEXT_ID"), move |call: crate::jujuc::Invocation| {
            let output = answering.answer(&call.argv, call.stdin.as_deref(), &call.cwd);
            std::future::ready(output.unwrap_or_else(|| crate::world::refusal("the hook is over")))
        })?;
        // The charm's folder need not be there; the agent's is.
        let dir = if charm_dir.is_dir() { charm_dir.to_path_buf() } else { agent.file("") };
        let tools: Arc<dyn HookTools> = if backend == Backend::Socket {
            let socket = AgentSocket::new(get("JUJU_AGENT_SOCKET_ADDRESS"), get("JUJU_CONTEXT_ID"));
            Arc::new(Socket::connect(socket.with_dir(dir)).map_err(io::Error::other)?)
        } else {
            agent.link_tools(&crate::wire::find_jujuc().map_err(io::Error::other)?, &get("JUJU_VERSION"))?;
            Arc::new(Processes::new(agent.file("tools"), env.clone(), dir))
        };
        let calls = Way::Sent(tools.clone(), Mutex::default());
        Ok(Self { env, calls, log: tools, _agent: Some((agent, serving)) })
    }
}
