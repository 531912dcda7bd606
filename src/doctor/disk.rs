//! Disks: what file system a folder is on, how much room it has, and whether it may be written. Nothing is.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::DecimalBytes;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{AccessFlags, access};

use super::finding::{Check, Finding};
use super::within;

/// A disk that does not answer for so long, such as one of a server that is gone, is not waited for.
const DISK_MAX: Duration = Duration::from_secs(5);
/// With less than this nothing can be written for long.
const FREE_MIN: u64 = 64 << 20;

/// A folder as the system describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk {
    /// The folder, or what is there of the way to it.
    at: PathBuf,
    is_folder: bool,
    may_write: bool,
    is_read_only: bool,
    /// Bytes that we may use.
    free: u64,
    /// The file system's name; `None` if it is not known here.
    kind: Option<String>,
    is_remote: bool,
}

/// What is wanted of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Bytes that it may have to hold.
    pub(super) bytes: u64,
    /// Whether a capture makes it.
    pub(super) is_made: bool,
    /// The flag that names it.
    pub(super) flag: &'static str,
}

/// Looks at the disk of `folder`; where that is not there, at what is there of the way to it.
pub(super) async fn check(check: Check, folder: &Path, wanted: Wanted) -> Finding {
    let flag = wanted.flag;
    let asked = folder.to_owned();
    let looked = within(DISK_MAX, tokio::task::spawn_blocking(move || look(&asked))).await;
    let remedy = format!("name a folder on a disk that works with {flag}");
    match looked {
        Some(Ok(Ok(disk))) => judge(check, folder, &disk, wanted),
        Some(Ok(Err(error))) => Finding::fail(check, format!("{}: {error}", folder.display()), remedy),
        Some(Err(_)) | None => {
            Finding::fail(check, format!("the disk of {} does not answer", folder.display()), remedy)
        }
    }
}

fn look(folder: &Path) -> io::Result<Disk> {
    let absolute = std::path::absolute(folder)?;
    let at = absolute.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned();
    let room = statvfs(&at)?;
    let (kind, is_remote) = kind(&at).unwrap_or_default();
    #[allow(clippy::useless_conversion, reason = "it has 32 bits on other systems")]
    let blocks = u64::from(room.blocks_available());
    Ok(Disk {
        is_folder: at.is_dir(),
        may_write: access(&at, AccessFlags::W_OK | AccessFlags::X_OK).is_ok(),
        is_read_only: room.flags().contains(FsFlags::ST_RDONLY),
        free: blocks.saturating_mul(room.fragment_size()),
        kind,
        is_remote,
        at,
    })
}

/// Judges the disk of a folder.
fn judge(check: Check, folder: &Path, disk: &Disk, wanted: Wanted) -> Finding {
    let (Disk { at, free, .. }, Wanted { bytes: wanted, is_made, flag }) = (disk, wanted);
    let elsewhere = format!("name another folder with {flag}");
    if !disk.is_folder {
        return Finding::fail(check, format!("{} is no folder", at.display()), elsewhere);
    }
    let is_there = std::path::absolute(folder).is_ok_and(|folder| folder == *at);
    if !is_there && !is_made {
        let found = format!("there is no folder {}", folder.display());
        return Finding::fail(check, found, format!("make it, or {elsewhere}"));
    }
    let kind = disk.kind.as_deref().unwrap_or("a file system not known here");
    let found = format!("{}: {kind}, {} free", at.display(), DecimalBytes(*free));
    if disk.is_read_only {
        return Finding::fail(check, format!("{found}, read-only"), elsewhere);
    }
    if !disk.may_write {
        let remedy = format!("let this user write there, or {elsewhere}");
        return Finding::fail(check, format!("{found}; this user may not write there"), remedy);
    }
    if *free < FREE_MIN {
        return Finding::fail(check, format!("{found}, which is full"), format!("free space, or {elsewhere}"));
    }
    if disk.is_remote {
        let found = format!("{found}; it may be on another machine, where SQLite's locks and syncs are not sure");
        return Finding::warn(check, found, format!("name a folder on a disk of this machine with {flag}"));
    }
    if *free < wanted {
        let found = format!("{found}, which is less than the {} that it may take", DecimalBytes(wanted));
        return Finding::warn(check, found, format!("free space, or {elsewhere}"));
    }
    let made = if is_there { "" } else { "; the folder will be made" };
    Finding::ok(check, format!("{found}{made}"))
}

/// The name of a file system, and whether it may be on another machine.
#[cfg(target_os = "linux")]
fn kind(path: &Path) -> Option<(Option<String>, bool)> {
    let magic = nix::sys::statfs::statfs(path).ok()?.filesystem_type().0;
    let known = known(u32::try_from(magic & 0xffff_ffff).ok()?);
    Some(known.map_or((None, false), |(name, is_remote)| (Some(name.to_owned()), is_remote)))
}

#[cfg(not(target_os = "linux"))]
fn kind(path: &Path) -> Option<(Option<String>, bool)> {
    const REMOTE: [&str; 6] = ["nfs", "smbfs", "afpfs", "webdav", "macfuse", "osxfuse"];
    let name = nix::sys::statfs::statfs(path).ok()?.filesystem_type_name().to_owned();
    let is_remote = REMOTE.contains(&name.as_str());
    Some((Some(name), is_remote))
}

/// File systems by the numbers that statfs(2) gives for them.
#[cfg(target_os = "linux")]
fn known(magic: u32) -> Option<(&'static str, bool)> {
    Some(match magic {
        0x0000_ef53 => ("ext4", false),
        0x5846_5342 => ("xfs", false),
        0x9123_683e => ("btrfs", false),
        0x2fc1_2fc1 => ("zfs", false),
        0xf2f5_2010 => ("f2fs", false),
        0xca45_1a4e => ("bcachefs", false),
        0x794c_7630 => ("overlayfs", false),
        0x0102_1994 => ("tmpfs", false),
        0x8584_58f6 => ("ramfs", false),
        0x7371_7368 => ("squashfs", false),
        0x0000_4d44 => ("vfat", false),
        0x2011_bab0 => ("exfat", false),
        0x0000_6969 => ("nfs", true),
        0x0000_517b | 0xfe53_4d42 | 0xff53_4d42 => ("smb", true),
        0x0102_1997 => ("9p", true),
        0x00c3_6400 => ("ceph", true),
        0x0bd0_0bd0 => ("lustre", true),
        0x0116_1970 => ("gfs2", true),
        0x7461_636f => ("ocfs2", true),
        0x5346_414f => ("afs", true),
        0x7375_7245 => ("coda", true),
        0x786f_4256 => ("vboxsf", true),
        // Behind it may be anything, often a network.
        0x6573_5546 => ("fuse", true),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::State;
    use super::*;

    #[test]
    fn a_disk_is_judged_by_its_kind_its_room_and_its_rights() {
        let good = Disk {
            at: "/data".into(),
            is_folder: true,
            may_write: true,
            is_read_only: false,
            free: 10 << 30,
            kind: Some("ext4".to_owned()),
            is_remote: false,
        };
        let nfs = || Some("nfs".to_owned());
        let wanted = Wanted { bytes: 2_000_000_000, is_made: true, flag: "--outbox" };
        for (disk, state, words) in [
            (good.clone(), State::Ok, "ext4, 10.74 GB free"),
            (Disk { kind: None, ..good.clone() }, State::Ok, "not known here"),
            (Disk { kind: nfs(), is_remote: true, ..good.clone() }, State::Warn, "another machine"),
            (Disk { free: 1 << 30, ..good.clone() }, State::Warn, "less than the 2.00 GB"),
            (Disk { free: 1 << 20, ..good.clone() }, State::Fail, "full"),
            (Disk { is_read_only: true, ..good.clone() }, State::Fail, "read-only"),
            (Disk { may_write: false, ..good.clone() }, State::Fail, "may not write"),
            (Disk { is_folder: false, ..good.clone() }, State::Fail, "no folder"),
        ] {
            let finding = judge(Check::OutboxDisk, Path::new("/data"), &disk, wanted);
            assert_eq!(finding.state, state, "{finding:?}");
            assert!(finding.found.contains(words), "{finding:?}");
            let says_flag = finding.remedy.is_none_or(|remedy| remedy.contains("--outbox"));
            assert!(says_flag, "{disk:?}");
        }
    }

    #[test]
    fn the_disk_of_a_folder_that_is_not_there_yet_is_the_one_that_it_will_be_made_on() {
        let folder = tempfile::tempdir().unwrap();
        let (absent, file) = (folder.path().join("a/b"), folder.path().join("file"));
        std::fs::write(&file, "x").unwrap();
        let disk = Disk { free: 9 << 30, ..look(&absent).unwrap() };
        assert_eq!((disk.at.as_path(), disk.is_folder, disk.may_write), (folder.path(), true, true));
        let judged = |is_made| judge(Check::OutboxDisk, &absent, &disk, Wanted { bytes: 1, is_made, flag: "--outbox" });
        assert!(judged(true).found.contains("will be made"), "{:?}", judged(true));
        assert!(judged(false).found.contains("there is no folder") && judged(false).state == State::Fail);
        assert!(!look(&file.join("below")).unwrap().is_folder);
        assert!(!absent.exists());
    }
}
