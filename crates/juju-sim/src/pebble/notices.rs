//! Notices.

use std::collections::BTreeMap;

use juju_pebble::{Error, Notice, NoticeFilter, Notify};

use super::{Inner, PebbleEvent, api};

/// The longest key, in bytes.
const LONGEST_KEY: usize = 256;
/// The most data of one notice, in bytes of keys and values.
const MOST_DATA: usize = 4096;

impl Inner {
    pub(super) fn notices(&self, filter: &NoticeFilter) -> Vec<Notice> {
        let after = filter.after.as_deref().unwrap_or_default();
        let fits = |notice: &&Notice| {
            (filter.types.is_empty() || filter.types.contains(&notice.kind))
                && (filter.keys.is_empty() || filter.keys.contains(&notice.key))
                && notice.last_repeated.as_str() > after
        };
        self.container.notices.iter().filter(fits).cloned().collect()
    }

    pub(super) fn notify(&mut self, Notify { key, data, repeat_after }: &Notify) -> Result<String, Error> {
        let part = |text: &str| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c);
            !text.is_empty() && text.chars().all(plain)
        };
        let named = key
            .split_once('/')
            .is_some_and(|(domain, path)| domain.contains('.') && part(domain) && path.split('/').all(part));
        if !named {
            return Err(api(400, format!("invalid key \"{key}\" (must be in \"example.com/path\" format)")));
        }
        if key.len() > LONGEST_KEY {
            return Err(api(400, format!("key must be {LONGEST_KEY} bytes or less")));
        }
        let size: usize = data.iter().map(|(key, value)| key.len() + value.len()).sum();
        if size > MOST_DATA {
            return Err(api(400, format!("total size of data must be {MOST_DATA} bytes or less")));
        }
        self.history.push(PebbleEvent::Notice { key: key.clone() });
        Ok(self.record_notice(
            "custom",
            key,
            data.clone(),
            repeat_after.is_some_and(|after| !after.is_zero()),
        ))
    }

    /// Records an occurrence, and returns the notice's number. No time passes here, so a `rare` one is not repeated.
    fn record_notice(&mut self, kind: &str, key: &str, data: BTreeMap<String, String>, rare: bool) -> String {
        let notices = &mut self.container.notices;
        // Times of one daemon only have to grow.
        let occurrence = notices.iter().map(|notice| notice.occurrences).sum::<u64>() + 1;
        let now = format!("2026-01-01T00:00:00.{occurrence:09}Z");
        let known = notices.iter().position(|notice| notice.kind == kind && notice.key == key);
        let mut notice = match known {
            Some(at) if rare => {
                let notice = &mut notices[at];
                notice.occurrences += 1;
                notice.last_occurred = now;
                notice.last_data = data;
                return notice.id.clone();
            }
            Some(at) => notices.remove(at),
            None => Notice {
                id: (notices.len() + 1).to_string(),
                user_id: Some(0),
                kind: kind.to_owned(),
                key: key.to_owned(),
                first_occurred: now.clone(),
                last_occurred: String::new(),
                last_repeated: String::new(),
                occurrences: 0,
                last_data: BTreeMap::new(),
            },
        };
        notice.occurrences += 1;
        notice.last_occurred.clone_from(&now);
        notice.last_repeated = now;
        notice.last_data = data;
        let id = notice.id.clone();
        // The one repeated last stands last.
        notices.push(notice);
        id
    }
}
