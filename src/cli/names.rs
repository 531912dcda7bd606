//! Names of buckets and organizations, as InfluxDB takes them and people can type them.

use super::Failure;
use crate::text::Excerpt;

/// Refuses what is no name of a bucket of ours: nobody meant it, and a list that is asked for it may give others.
pub(super) fn check_bucket(name: &str) -> Result<(), Failure> {
    let why = match name.chars().next() {
        Some('_') => Some("those that begin with _ are InfluxDB's own"),
        Some('-') => Some("one that begins with - reads as a flag"),
        _ if name.contains('"') => Some("InfluxDB takes none with a quotation mark"),
        _ => what_is_odd(name),
    };
    refuse("bucket", name, why)
}

/// Refuses what is no name of an organization.
pub(super) fn check_org(name: &str) -> Result<(), Failure> {
    refuse("org", name, what_is_odd(name))
}

fn what_is_odd(name: &str) -> Option<&'static str> {
    if name.trim().is_empty() {
        Some("it is empty")
    } else if name.trim() != name {
        Some("it begins or ends with a blank")
    } else if name.chars().any(char::is_control) {
        Some("it has a control character, such as a tab")
    } else {
        None
    }
}

fn refuse(flag: &str, name: &str, why: Option<&str>) -> Result<(), Failure> {
    let line = |why| format!("--{flag} {:?} is not a name for it: {why}: give another", Excerpt::of(name));
    why.map_or(Ok(()), |why| Err(Failure::Usage(line(why))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_taken() {
        for name in ["ticks", "my ticks", "a/b", "börse", "t_1", "x-y", "${x}", "o'neill", "a\\b", "*"] {
            assert_eq!((check_bucket(name), check_org(name)), (Ok(()), Ok(())), "{name:?}");
        }
        assert_eq!(check_org("_x"), Ok(()), "an organization may be called so");
    }

    #[test]
    fn odd_names_are_refused_in_one_line() {
        for name in ["", " ", "\t", "a\tb", "a\nb", "a\r", " a", "a ", "\u{7f}x", "\u{1b}[2J"] {
            for (refused, flag) in [(check_bucket(name), "--bucket"), (check_org(name), "--org")] {
                let line = refused.unwrap_err().to_string();
                assert!(line.contains(flag) && !line.contains(char::is_control), "{line:?}");
            }
        }
        for name in ["_monitoring", "_tasks", "_x", "-x", "--force", "a\"b"] {
            assert!(check_bucket(name).is_err(), "{name}");
        }
    }
}
