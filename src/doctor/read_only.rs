//! The system itself keeps this program from writing files.
//!
//! SQLite opens the log of a file that it only reads for writing, too, and makes it should it vanish in that moment; if it
//! may not, it reads.

/// From now on this thread, and those that it starts, cannot open a file for writing, nor make, rename or remove one; what
/// is open stays open. Gives whether the system can do so (Landlock, Linux 5.13 and newer).
#[cfg(target_os = "linux")]
pub fn forbid_writing() -> bool {
    use landlock::{ABI, AccessFs, Ruleset, RulesetAttr, RulesetError, RulesetStatus};
    let forbid = || -> Result<RulesetStatus, RulesetError> {
        let ruleset = Ruleset::default().handle_access(AccessFs::from_write(ABI::V3))?.create()?;
        Ok(ruleset.restrict_self()?.ruleset)
    };
    forbid().is_ok_and(|status| status != RulesetStatus::NotEnforced)
}

/// There is no such thing here.
#[cfg(not(target_os = "linux"))]
pub fn forbid_writing() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_forbids_itself_to_write_reads_and_makes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        std::fs::write(&old, "before").unwrap();
        // In a thread of its own: it holds for as long as that lives.
        let (asked, made) = (old.clone(), new.clone());
        let forbidden = std::thread::spawn(move || {
            let is_enforced = forbid_writing();
            assert_eq!(std::fs::read_to_string(&asked).unwrap(), "before");
            if is_enforced {
                let refused = [std::fs::write(&asked, "x"), std::fs::write(&made, "x"), std::fs::remove_file(&asked)];
                assert!(refused.iter().all(Result::is_err), "{refused:?}");
            }
            is_enforced
        });
        if forbidden.join().unwrap() {
            assert!(old.exists() && !new.exists());
        }
        std::fs::write(&new, "other threads may").unwrap();
    }
}
