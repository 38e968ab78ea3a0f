//! The line between a hook tool and the agent: what the small client sends, and what it gets back.
//!
//! A frame is a length of four bytes, big-endian, then so many bytes of JSON; raw bytes announced in the JSON follow it.

use std::{
    env,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::ExitCode,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Largest frame that is read, in bytes: more than Juju takes for one databag.
pub const LIMIT: u32 = 64 << 20;

/// One call of a hook tool. Its standard input follows the frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    /// `JUJU_CONTEXT_ID` of the hook.
    pub context: String,
    /// Working directory, to which file names are relative.
    pub cwd: PathBuf,
    /// Name of the tool and its arguments.
    pub argv: Vec<String>,
    /// Bytes of standard input; `None` when the tool was not asked to read it.
    pub stdin: Option<u32>,
}

/// The answer. Standard output and standard error follow the frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Exit code.
    pub code: i32,
    /// Bytes of standard output.
    pub stdout: u32,
    /// Bytes of standard error.
    pub stderr: u32,
}

fn invalid(reason: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_string())
}

/// One frame with the bytes that follow it.
///
/// # Errors
/// When the frame would be longer than [`LIMIT`].
pub fn frame<T: Serialize>(head: &T, bodies: &[&[u8]]) -> io::Result<Vec<u8>> {
    let head = serde_json::to_vec(head).map_err(invalid)?;
    let length = u32::try_from(head.len())
        .ok()
        .filter(|length| *length <= LIMIT)
        .ok_or_else(|| invalid("too long"))?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(head);
    for body in bodies {
        bytes.extend(*body);
    }
    Ok(bytes)
}

/// Reads the JSON part of a frame.
///
/// # Errors
/// When the stream ends, or the frame is too long or not what it should be.
pub fn read_head<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    serde_json::from_slice(&read_body(stream, u32::from_be_bytes(length))?).map_err(invalid)
}

/// Reads so many bytes.
///
/// # Errors
/// When the stream ends early, or so many are not allowed.
pub fn read_body(stream: &mut impl Read, length: u32) -> io::Result<Vec<u8>> {
    if length > LIMIT {
        return Err(invalid("frame too long"));
    }
    let mut bytes = Vec::new();
    stream.take(u64::from(length)).read_to_end(&mut bytes)?;
    if bytes.len() < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// Length of a body, for a head.
///
/// # Errors
/// When it is longer than [`LIMIT`].
pub fn length(body: &[u8]) -> io::Result<u32> {
    u32::try_from(body.len()).ok().filter(|length| *length <= LIMIT).ok_or_else(|| invalid("too long"))
}

/// The hook-tool client's `main`: the tool's name is the name it was started under.
pub fn main() -> ExitCode {
    let mut argv: Vec<String> = env::args().collect();
    if let Some(name) = argv.first_mut() {
        *name = name.rsplit('/').next().unwrap_or_default().to_owned();
    }
    match call(argv) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("ERROR {error}");
            ExitCode::FAILURE
        }
    }
}

fn call(argv: Vec<String>) -> io::Result<ExitCode> {
    let need = |name: &str| {
        env::var(name)
            .ok()
            .filter(|value| !value.is_empty())
            .ok_or_else(|| io::Error::other(format!("{name} not set")))
    };
    let context = need("JUJU_CONTEXT_ID")?;
    let mut stream = UnixStream::connect(need("JUJU_AGENT_SOCKET_ADDRESS")?)?;
    let mut stdin = None;
    if crate::tools::wants_stdin(&argv) {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes)?;
        stdin = Some(bytes);
    }
    let body = stdin.as_deref().unwrap_or_default();
    let head = Call {
        context,
        cwd: env::current_dir()?,
        argv,
        stdin: stdin.as_ref().map(|_| length(body)).transpose()?,
    };
    stream.write_all(&frame(&head, &[body])?)?;
    let answer: Answer = read_head(&mut stream)?;
    io::stdout().write_all(&read_body(&mut stream, answer.stdout)?)?;
    io::stderr().write_all(&read_body(&mut stream, answer.stderr)?)?;
    Ok(ExitCode::from(u8::try_from(answer.code).unwrap_or(1)))
}
