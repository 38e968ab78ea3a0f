//! The load balancer: its configuration and its service.

/// The configuration of the running nginx. Only what `nginx -t` has accepted goes here.
pub const CONFIG_PATH: &str = "/etc/nginx/nginx.conf";
/// Where a new configuration waits for `nginx -t`.
pub const CANDIDATE_PATH: &str = "/etc/nginx/nginx.conf.candidate";
/// Digest of the configuration that nginx was last started or reloaded with, written after that succeeded. It differs
/// from that of [`CONFIG_PATH`] if a hook ended between the two, and then the reload has to be made up for.
pub const LOADED_PATH: &str = "/etc/nginx/nginx.conf.loaded";
