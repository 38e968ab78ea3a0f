//! The hook tools: one implementation, answering as Juju 3.6 does.
//!
//! Each tool is a function from a [`Session`] and a command line to text or a refusal. Exit codes and texts follow
//! recordings of the real tools; `tests/hook_tools.rs` plays all of them back.

mod action;
mod basic;
mod flags;
mod network;
mod output;
mod relation;
mod secret;
mod store;
mod yaml;

use std::{collections::BTreeMap, fmt::Write as _, fs, path::Path};

use base64::{
    Engine as _,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use flags::{Args, Flag};
use juju_ops::{Feature, JujuVersion};
use output::{Format, Out};

use crate::Session;

pub use juju_ops::tools::ToolOutput;
#[cfg(feature = "processes")]
pub(crate) use secret::duration as go_duration;

/// How a call counts when a test asks "what did the charm write?".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum CallKind {
    /// Only asks.
    Read,
    /// Changes something, at once or when the hook ends well.
    Write,
    /// `juju-log`, `action-log`.
    Log,
}

/// Every tool with its kind, in the order of their names.
pub const TOOLS: &[(&str, CallKind)] = &[
    ("action-fail", CallKind::Write),
    ("action-get", CallKind::Read),
    ("action-log", CallKind::Log),
    ("action-set", CallKind::Write),
    ("application-version-set", CallKind::Write),
    ("close-port", CallKind::Write),
    ("config-get", CallKind::Read),
    ("credential-get", CallKind::Read),
    ("goal-state", CallKind::Read),
    ("is-leader", CallKind::Read),
    ("juju-log", CallKind::Log),
    ("juju-reboot", CallKind::Write),
    ("leader-get", CallKind::Read),
    ("leader-set", CallKind::Write),
    ("network-get", CallKind::Read),
    ("open-port", CallKind::Write),
    ("opened-ports", CallKind::Read),
    ("relation-get", CallKind::Read),
    ("relation-ids", CallKind::Read),
    ("relation-list", CallKind::Read),
    ("relation-model-get", CallKind::Read),
    ("relation-set", CallKind::Write),
    ("resource-get", CallKind::Read),
    ("secret-add", CallKind::Write),
    ("secret-get", CallKind::Read),
    ("secret-grant", CallKind::Write),
    ("secret-ids", CallKind::Read),
    ("secret-info-get", CallKind::Read),
    ("secret-remove", CallKind::Write),
    ("secret-revoke", CallKind::Write),
    ("secret-set", CallKind::Write),
    ("state-delete", CallKind::Write),
    ("state-get", CallKind::Read),
    ("state-set", CallKind::Write),
    ("status-get", CallKind::Read),
    ("status-set", CallKind::Write),
    ("storage-add", CallKind::Write),
    ("storage-get", CallKind::Read),
    ("storage-list", CallKind::Read),
    ("unit-get", CallKind::Read),
];

/// A version of Juju; what cannot be understood counts as the latest of the 3.6 line.
pub(crate) fn version(text: &str) -> JujuVersion {
    text.parse().unwrap_or(JujuVersion::new(3, 6, 26))
}

/// Whether the agent of a Juju version has a tool.
fn has(juju_version: &str, tool: &str) -> bool {
    match tool {
        "leader-get" | "leader-set" => version(juju_version).major < 4,
        "relation-model-get" => version(juju_version).has(Feature::RemoteModel),
        _ if tool.starts_with("secret-") => version(juju_version).has(Feature::Secrets),
        _ => true,
    }
}

/// The tools that the agent of a Juju version (`3.6.26`) has: leader settings went with Juju 4, secrets came with 3, the
/// other side's model with 3.6.2.
pub fn of_version(juju_version: &str) -> impl Iterator<Item = &'static str> + '_ {
    TOOLS.iter().map(|(tool, _)| *tool).filter(move |tool| has(juju_version, tool))
}

/// The kind of a tool; a name nobody knows counts as a read, since it does nothing.
#[must_use]
pub fn kind(tool: &str) -> CallKind {
    TOOLS.binary_search_by_key(&tool, |(name, _)| name).map_or(CallKind::Read, |at| TOOLS[at].1)
}

/// Whether a command line makes its tool read standard input: `--file -` of `relation-set` and `state-set`.
///
/// The agent asks its client for the input only then.
#[must_use]
pub fn wants_stdin(argv: &[String]) -> bool {
    let Some((tool, words)) = argv.split_first() else { return false };
    if tool != "relation-set" && tool != "state-set" {
        return false;
    }
    let mut words = words.iter().take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        if word == "--file=-" || (word == "--file" && words.next().is_some_and(|value| value == "-")) {
            return true;
        }
    }
    false
}

/// A tool's refusal.
struct Refusal {
    code: i32,
    message: String,
}

/// The command ran and refused.
fn refused(message: impl Into<String>) -> Refusal {
    Refusal { code: 1, message: message.into() }
}

/// The agent knows no such tool.
fn unknown(tool: &str) -> Refusal {
    refused(format!("bad request: unknown command: {tool}"))
}

/// The command line is wrong.
fn misused(message: impl Into<String>) -> Refusal {
    Refusal { code: 2, message: message.into() }
}

type Answer = Result<String, Refusal>;

/// One call: the session it changes and the words it was given.
struct Call<'a> {
    session: &'a mut Session,
    tool: &'a str,
    words: &'a [String],
    stdin: Option<&'a [u8]>,
    cwd: &'a Path,
    warning: String,
}

/// Runs one call.
pub(crate) fn run(session: &mut Session, argv: &[String], stdin: Option<&[u8]>, cwd: &Path) -> ToolOutput {
    let Some((name, words)) = argv.split_first() else {
        return ToolOutput { code: 2, stdout: Vec::new(), stderr: b"ERROR no command\n".to_vec() };
    };
    // Tools are called by path when a charm insists.
    let tool = name.rsplit('/').next().unwrap_or(name);
    let known = has(&session.state().juju_version, tool);
    let mut call = Call { session, tool, words, stdin, cwd, warning: String::new() };
    let answer = match tool {
        _ if !known => Err(unknown(tool)),
        "action-fail" => action::fail(&mut call),
        "action-get" => action::get(&mut call),
        "action-log" => action::log(&mut call),
        "action-set" => action::set(&mut call),
        "application-version-set" => basic::application_version_set(&mut call),
        "close-port" => network::close_port(&mut call),
        "config-get" => basic::config_get(&mut call),
        "credential-get" => basic::credential_get(&mut call),
        "goal-state" => basic::goal_state(&mut call),
        "is-leader" => basic::is_leader(&mut call),
        "juju-log" => basic::juju_log(&mut call),
        "juju-reboot" => basic::juju_reboot(&mut call),
        "leader-get" => store::leader_get(&mut call),
        "leader-set" => store::leader_set(&mut call),
        "network-get" => network::network_get(&mut call),
        "open-port" => network::open_port(&mut call),
        "opened-ports" => network::opened_ports(&mut call),
        "relation-get" => relation::get(&mut call),
        "relation-ids" => relation::ids(&mut call),
        "relation-list" => relation::list(&mut call),
        "relation-model-get" => relation::model_get(&mut call),
        "relation-set" => relation::set(&mut call),
        "resource-get" => basic::resource_get(&mut call),
        "secret-add" => secret::add(&mut call),
        "secret-get" => secret::get(&mut call),
        "secret-grant" => secret::grant(&mut call),
        "secret-ids" => secret::ids(&mut call),
        "secret-info-get" => secret::info_get(&mut call),
        "secret-remove" => secret::remove(&mut call),
        "secret-revoke" => secret::revoke(&mut call),
        "secret-set" => secret::set(&mut call),
        "state-delete" => store::state_delete(&mut call),
        "state-get" => store::state_get(&mut call),
        "state-set" => store::state_set(&mut call),
        "status-get" => basic::status_get(&mut call),
        "status-set" => basic::status_set(&mut call),
        "storage-add" => store::storage_add(&mut call),
        "storage-get" => store::storage_get(&mut call),
        "storage-list" => store::storage_list(&mut call),
        "unit-get" => network::unit_get(&mut call),
        other => Err(unknown(other)),
    };
    let mut stderr = call.warning;
    let (code, stdout) = match answer {
        Ok(stdout) => (0, stdout),
        Err(Refusal { code, message }) => {
            stderr.push_str("ERROR ");
            stderr.push_str(&message);
            stderr.push('\n');
            (code, String::new())
        }
    };
    ToolOutput { code, stdout: stdout.into_bytes(), stderr: stderr.into_bytes() }
}

const RELATION: Flag = flags::value(&["r", "relation"]);
const FORMAT: Flag = flags::value(&["format"]);
const OUTPUT: Flag = flags::value(&["o", "output"]);

impl Call<'_> {
    /// Takes the command line apart; values of `-r`, `-s` and `--format` are checked on the way.
    fn parse(&mut self, flags: &[Flag]) -> Result<Args, Refusal> {
        let session = &*self.session;
        flags::parse(self.words, flags, |flag, value| match flag {
            "r" => {
                let number = value.rsplit(':').next().unwrap_or(value);
                let id: i64 = number.parse().map_err(|_| "invalid relation id".to_owned())?;
                let known = u32::try_from(id).is_ok_and(|id| session.state().relation_by_id(id).is_some());
                if known { Ok(()) } else { Err("relation not found".to_owned()) }
            }
            "s" if !value.contains('/') => Err("invalid storage ID".to_owned()),
            "s" if !session.state().storages.contains_key(value) => Err("permission denied".to_owned()),
            "format" if Format::parse(value).is_none() => Err(format!("unknown format {}", quote(value))),
            _ => Ok(()),
        })
        .map_err(misused)
    }

    /// The relation that `-r` names, else the one of the running hook.
    fn relation_id(&self, args: &Args) -> Result<u32, Refusal> {
        let given = args.get("r").and_then(|value| value.rsplit(':').next()?.parse().ok());
        let from_hook = || self.session.event().as_relation().map(|event| event.id);
        given.or_else(from_hook).ok_or_else(|| misused("no relation id specified"))
    }

    /// Prints in the format asked for, to standard output or to a file.
    fn print(&self, args: &Args, default: Format, value: &Out) -> Answer {
        let format = args.get("format").and_then(Format::parse).unwrap_or(default);
        let text = format.print(value);
        let Some(file) = args.get("o").filter(|file| !file.is_empty()) else { return Ok(text) };
        let path = self.cwd.join(file);
        fs::write(self.session.file(&path), text)
            .map_err(|error| refused(open_error(&path.display().to_string(), &error)))?;
        Ok(String::new())
    }

    /// The warning of tools that take `--format` for old times' sake.
    fn warn_format(&mut self, args: &Args) {
        if args.get("format").is_some() {
            self.warning = format!("--format flag deprecated for command {}", quote(self.tool));
        }
    }

    /// The mapping in `--file`, where given.
    fn settings_file(&self, args: &Args) -> Result<BTreeMap<String, String>, Refusal> {
        let bytes = match args.get("file") {
            None | Some("") => return Ok(BTreeMap::new()),
            Some("-") => self.stdin.unwrap_or_default().to_vec(),
            Some(file) => {
                let path = self.cwd.join(file);
                fs::read(self.session.file(&path))
                    .map_err(|error| refused(open_error(&path.display().to_string(), &error)))?
            }
        };
        yaml::read_map(&bytes).map_err(refused)
    }
}

/// Go's words for a file that cannot be opened.
fn open_error(path: &str, error: &std::io::Error) -> String {
    let reason = match error.kind() {
        std::io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => error.to_string(),
    };
    format!("open {path}: {reason}")
}

/// Refuses arguments that nobody asked for.
fn no_more(rest: &[String]) -> Result<(), Refusal> {
    if rest.is_empty() {
        return Ok(());
    }
    let words: Vec<_> = rest.iter().map(|word| quote(word)).collect();
    Err(misused(format!("unrecognized args: [{}]", words.join(" "))))
}

/// `key=value` arguments; `empty` says whether a key may be the empty word.
fn key_values(words: &[String]) -> Result<BTreeMap<String, String>, Refusal> {
    let mut map = BTreeMap::new();
    for word in words {
        let (key, value) = word
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| misused(format!("expected \"key=value\", got {}", quote(word))))?;
        if map.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(misused(format!("key {} specified more than once", quote(key))));
        }
    }
    Ok(map)
}

/// Text in Go's double quotes.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() && c.is_ascii() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether a word is an application's name.
fn is_app_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_lowercase())
        && !word.ends_with('-')
        && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

/// Application and number of a unit's name.
fn unit_parts(word: &str) -> Option<(&str, u32)> {
    let (app, number) = word.rsplit_once('/')?;
    let number = number.parse().ok().filter(|_| number == "0" || !number.starts_with(['0', '+']))?;
    is_app_name(app).then_some((app, number))
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
);

/// Standard base64.
pub(crate) fn base64_encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64.encode(bytes)
}

/// Standard base64; line ends between are skipped, as Go skips them.
pub(crate) fn base64_decode(text: &str) -> Option<Vec<u8>> {
    let text: String = text.chars().filter(|c| !matches!(c, '\n' | '\r')).collect();
    BASE64.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_are_listed_in_order() {
        assert!(TOOLS.is_sorted_by_key(|(tool, _)| tool));
        assert_eq!(kind("relation-set"), CallKind::Write);
        assert_eq!(kind("juju-log"), CallKind::Log);
        assert_eq!(kind("unheard-of"), CallKind::Read);
    }

    #[test]
    fn every_juju_has_its_own_tools() {
        let of = |version: &str| of_version(version).collect::<Vec<_>>();
        assert_eq!(of("3.6.26").len(), TOOLS.len());
        let four = of("4.0.0");
        assert_eq!(four.len(), TOOLS.len() - 2);
        assert!(!four.contains(&"leader-get") && !four.contains(&"leader-set"));
        assert!(!of("3.6.1").contains(&"relation-model-get"));
        assert!(!of("2.9.49").contains(&"secret-get"));
    }

    #[test]
    fn input_is_wanted_for_settings_from_it_only() {
        let wants = |line: &str| wants_stdin(&line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert!(wants("relation-set -r 3 --app --file -") && wants("state-set --file=- a=b"));
        assert!(!wants("relation-set -r 3 -- --file -") && !wants("relation-set --file x"));
        assert!(!wants("secret-add --file -") && !wants("juju-log x"));
    }
}
