//! What Pebble can be asked to do, one file per group of calls.

mod changes;
mod checks;
mod exec;
mod files;
mod identities;
mod notices;
mod plan;
mod services;
