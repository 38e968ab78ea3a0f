//! The charm's one executable: Juju runs it for every hook and action.

use std::path::Path;
use std::process::ExitCode;

use tempo_coordinator::{dispatch, observe};

fn main() -> ExitCode {
    juju_ops::run(async |hook| {
        let around = observe::surroundings(Path::new("/"), hook.env());
        dispatch(hook, around).await
    })
}
