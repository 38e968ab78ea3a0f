//! The exporter that turns nginx's status page into Prometheus metrics.

/// The exporter's own web configuration (TLS, if any).
pub const WEB_CONFIG_PATH: &str = "/etc/exporter/web-config.yaml";
