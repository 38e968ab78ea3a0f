//! The options.

use crate::names::Config;
use crate::tempo::Protocol;

use super::Settings;

/// Go's longest duration is about 292 years; ten are more than anybody keeps traces.
const LONGEST_RETENTION_HOURS: i64 = 10 * 366 * 24;

impl Settings {
    /// Checks the options.
    pub(super) fn of(config: &Config) -> Self {
        let on = |protocol: &Protocol| match protocol {
            Protocol::JaegerGrpc => config.always_enable_jaeger_grpc,
            Protocol::JaegerThriftHttp => config.always_enable_jaeger_thrift_http,
            Protocol::OtlpGrpc => config.always_enable_otlp_grpc,
            Protocol::OtlpHttp => config.always_enable_otlp_http,
            Protocol::Zipkin => config.always_enable_zipkin,
        };
        Self {
            retention_hours: retention_hours(config.retention_period),
            always_enabled: Protocol::ALL.into_iter().filter(on).collect(),
        }
    }
}

fn retention_hours(hours: i64) -> Result<u32, String> {
    match u32::try_from(hours) {
        Ok(valid @ 1..) if hours <= LONGEST_RETENTION_HOURS => Ok(valid),
        _ => Err(format!("retention-period: {hours} is not from 1 to {LONGEST_RETENTION_HOURS} hours")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_at_least_an_hour() {
        for (hours, valid) in [
            (i64::MIN, false),
            (-1, false),
            (0, false),
            (1, true),
            (720, true),
            (87840, true),
            (87841, false),
            (i64::MAX, false),
        ] {
            assert_eq!(retention_hours(hours).is_ok(), valid, "{hours}");
        }
    }
}
