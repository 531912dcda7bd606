//! The token: never printed, and read again from its file when InfluxDB no longer takes it.

use std::fmt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use reqwest::header::HeaderValue;

use crate::small_file;
use crate::store::StoreError;

/// Bytes of a token file, at most; a token has about 90.
const FILE_BYTES_MAX: usize = 64 << 10;

/// The rights of everyone else in a file's mode.
const OTHERS: u32 = 0o007;

/// An InfluxDB token; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(HeaderValue);

impl Token {
    /// A token from its text, white space around it cut off.
    ///
    /// # Errors
    ///
    /// [`StoreError::Settings`] if it is empty or cannot stand in an HTTP header.
    pub fn new(text: &str) -> Result<Self, StoreError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(StoreError::Settings("the InfluxDB token is empty: give another with --token-file".to_owned()));
        }
        let mut value = HeaderValue::from_str(&format!("Token {text}"))
            .map_err(|_| StoreError::Settings("the InfluxDB token has characters that no token has".to_owned()))?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(secret)")
    }
}

/// A token, and the file that it may be replaced in while the program runs.
#[derive(Debug)]
pub struct Credentials {
    token: Mutex<Token>,
    file: Option<PathBuf>,
}

impl Credentials {
    /// A token that stays.
    pub fn fixed(token: Token) -> Self {
        Self { token: Mutex::new(token), file: None }
    }

    /// The token in a file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Settings`] if the file cannot be read, may be read by everyone, or holds no token.
    pub fn from_file(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { token: Mutex::new(read(path)?), file: Some(path.to_owned()) })
    }

    /// The value of the `Authorization` header.
    pub(super) fn header(&self) -> HeaderValue {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Reads the file again, and says whether it holds another token now.
    pub(super) fn reload(&self) -> bool {
        let Some(Ok(token)) = self.file.as_deref().map(read) else { return false };
        let mut current = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = *current != token;
        *current = token;
        is_new
    }
}

fn read(path: &Path) -> Result<Token, StoreError> {
    let unreadable = |why: &dyn fmt::Display| {
        StoreError::Settings(format!("cannot read the token file {}: {why}: see --token-file", path.display()))
    };
    let (bytes, metadata) = small_file::read(path, FILE_BYTES_MAX).map_err(|error| unreadable(&error))?;
    let mode = metadata.permissions().mode();
    if mode & OTHERS != 0 {
        let (path, mode) = (path.display(), mode & 0o7777);
        return Err(StoreError::Settings(format!(
            "every user of this machine may use the token file {path} (mode {mode:04o}): chmod 600 {path}"
        )));
    }
    Token::new(str::from_utf8(&bytes).map_err(|error| unreadable(&error))?)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    #[test]
    fn a_token_is_never_printed() {
        let credentials = Credentials::fixed(Token::new(" an-example \n").unwrap());
        assert_eq!(credentials.header().to_str().unwrap(), "Token an-example");
        assert!(!format!("{credentials:?} {:?}", credentials.header()).contains("an-example"));
        assert!(Token::new(" \n").is_err() && Token::new("a\nb").is_err());
    }

    #[test]
    fn a_file_that_is_everyones_or_endless_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "an-example").unwrap();
        for (mode, is_taken) in [(0o600, true), (0o640, true), (0o400, true), (0o644, false), (0o602, false)] {
            std::fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            match Credentials::from_file(file.path()) {
                Ok(_) => assert!(is_taken, "{mode:o}"),
                Err(error) => {
                    let said = format!("(mode {mode:04o}): chmod 600 {}", file.path().display());
                    assert!(!is_taken && error.to_string().contains(&said), "{error}");
                }
            }
        }
        let error = Credentials::from_file(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(error.contains("/dev/zero") && error.contains("more than"), "{error}");
    }

    #[test]
    fn a_replaced_file_is_a_new_token() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "first").unwrap();
        let credentials = Credentials::from_file(file.path()).unwrap();
        assert!(!credentials.reload());
        std::fs::write(file.path(), "second\n").unwrap();
        assert!(credentials.reload() && !credentials.reload());
        assert_eq!(credentials.header().to_str().unwrap(), "Token second");
        std::fs::write(file.path(), "third").unwrap();
        std::fs::set_permissions(file.path(), Permissions::from_mode(0o604)).unwrap();
        assert!(!credentials.reload(), "a file that everyone may read changes nothing");
        std::fs::remove_file(file.path()).unwrap();
        assert!(!credentials.reload(), "a file that is gone changes nothing");
    }
}
