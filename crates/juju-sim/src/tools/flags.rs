//! GNU-style options as the hook tools read them: anywhere between the arguments, until `--`.

use std::collections::BTreeMap;

/// An option a tool knows.
pub(super) struct Flag {
    /// All names; the first is the key of [`Args::values`].
    names: &'static [&'static str],
    takes_value: bool,
}

/// An option without a value (`--app`, also `--app=true`).
pub(super) const fn switch(names: &'static [&'static str]) -> Flag {
    Flag { names, takes_value: false }
}

/// An option with a value (`-r 3`, `--relation=3`).
pub(super) const fn value(names: &'static [&'static str]) -> Flag {
    Flag { names, takes_value: true }
}

/// A command line taken apart.
#[derive(Debug, Default)]
pub(super) struct Args {
    values: BTreeMap<&'static str, String>,
    /// What is not an option, in order.
    pub(super) positional: Vec<String>,
}

impl Args {
    /// The last value given for an option.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether a switch is on.
    pub(super) fn has(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|value| value == "true")
    }
}

/// Go's spelling of booleans.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// `-x` for one letter, `--word` for more.
fn dashed(name: &str) -> String {
    if name.chars().count() == 1 { format!("-{name}") } else { format!("--{name}") }
}

/// Takes a command line apart. Values go through `check` in the order given, as Juju does: an unknown relation id
/// is reported even when another argument is wrong further on.
pub(super) fn parse(
    words: &[String],
    flags: &[Flag],
    mut check: impl FnMut(&str, &str) -> Result<(), String>,
) -> Result<Args, String> {
    let mut args = Args::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--" {
            args.positional.extend(words.by_ref().cloned());
        } else if let Some(long) = word.strip_prefix("--") {
            let (name, given) = match long.split_once('=') {
                Some((name, given)) => (name, Some(given.to_owned())),
                None => (long, None),
            };
            store(&mut args, flags, name, given, &mut words, &mut check)?;
        } else if word.len() > 1 && word.starts_with('-') {
            // Letters run together: each is a switch, until one takes the rest as its value.
            let mut rest = &word[1..];
            while let Some(letter) = rest.chars().next() {
                let name = &rest[..letter.len_utf8()];
                rest = &rest[letter.len_utf8()..];
                let takes_value = find(flags, name)?.takes_value;
                let given = match rest.strip_prefix('=') {
                    Some(given) => Some(given.to_owned()),
                    None if takes_value && !rest.is_empty() => Some(rest.to_owned()),
                    None => None,
                };
                let done = given.is_some();
                store(&mut args, flags, name, given, &mut words, &mut check)?;
                if done {
                    break;
                }
            }
        } else {
            args.positional.push(word.clone());
        }
    }
    Ok(args)
}

fn find<'a>(flags: &'a [Flag], name: &str) -> Result<&'a Flag, String> {
    let found = flags.iter().find(|flag| flag.names.contains(&name));
    found.ok_or_else(|| format!("option provided but not defined: {}", dashed(name)))
}

fn store<'a>(
    args: &mut Args,
    flags: &[Flag],
    name: &str,
    given: Option<String>,
    words: &mut impl Iterator<Item = &'a String>,
    check: &mut impl FnMut(&str, &str) -> Result<(), String>,
) -> Result<(), String> {
    let flag = find(flags, name)?;
    let text = if flag.takes_value {
        let text = given
            .or_else(|| words.next().cloned())
            .ok_or_else(|| format!("option needs an argument: {}", dashed(name)))?;
        check(flag.names[0], &text).map_err(|reason| {
            format!("invalid value {} for option {}: {reason}", super::quote(&text), dashed(name))
        })?;
        text
    } else {
        let text = given.unwrap_or_else(|| "true".to_owned());
        let on = boolean(&text).ok_or_else(|| {
            let quoted = super::quote(&text);
            format!(
                "invalid value {quoted} for option {}: strconv.ParseBool: parsing {quoted}: invalid syntax",
                dashed(name)
            )
        })?;
        on.to_string()
    };
    args.values.insert(flag.names[0], text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    const FLAGS: &[Flag] = &[switch(&["app"]), switch(&["a", "all"]), value(&["r", "relation"])];

    #[test]
    fn options_and_arguments_mix() {
        let args = parse(&words("x --app -r 3 y - -- -z"), FLAGS, |_, _| Ok(())).unwrap();
        assert_eq!(args.positional, ["x", "y", "-", "-z"]);
        assert!(args.has("app") && !args.has("a"));
        assert_eq!(args.get("r"), Some("3"));
        assert_eq!(parse(&words("-ar3 --app=F"), FLAGS, |_, _| Ok(())).unwrap().get("r"), Some("3"));
    }

    #[test]
    fn refusals_name_the_option_as_it_was_given() {
        let refuse = |_: &str, _: &str| Err("no".to_owned());
        let error = |text: &str| parse(&words(text), FLAGS, refuse).unwrap_err();
        assert_eq!(error("--relation=1"), "invalid value \"1\" for option --relation: no");
        assert_eq!(error("-dash=1"), "option provided but not defined: -d");
        assert_eq!(error("--dash"), "option provided but not defined: --dash");
        assert_eq!(error("x -r"), "option needs an argument: -r");
        assert_eq!(
            error("--app=maybe"),
            "invalid value \"maybe\" for option --app: strconv.ParseBool: parsing \"maybe\": invalid syntax"
        );
    }
}
