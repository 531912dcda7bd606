//! Whom to trust: one TLS set-up for streams and HTTP, rustls with ring.
//!
//! The system's certificates, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR` in their place, as OpenSSL and curl do;
//! beside them those of `--ca-file`. Nothing turns the checks off.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, OtherError, RootCertStore,
    SignatureScheme,
};
use thiserror::Error;

use crate::small_file;
use crate::text::Excerpt;

/// Bytes of a file of certificates, at most; Mozilla's whole list has 220 kB.
const FILE_BYTES_MAX: usize = 4 << 20;
/// Files that are looked at in `SSL_CERT_DIR`, at most.
const FILES_MAX: usize = 10_000;

/// Why certificates that someone has named cannot be used.
#[derive(Debug, Error)]
pub enum TrustError {
    /// The file or the folder cannot be read.
    #[error("cannot read {path} of {of}: {source}: give a PEM file of certificates")]
    Unreadable {
        /// The flag or the variable.
        of: &'static str,
        /// What it names.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// There is no certificate in it.
    #[error(
        "{path} of {of} holds no certificate: give a PEM file, with -----BEGIN CERTIFICATE----- in it (openssl x509 makes one)"
    )]
    Empty {
        /// The flag or the variable.
        of: &'static str,
        /// What it names.
        path: PathBuf,
    },
    /// A certificate that is none.
    #[error("{path} of {of} holds what is no certificate: {why}")]
    Invalid {
        /// The flag or the variable.
        of: &'static str,
        /// What it names.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// TLS itself cannot be set up.
    #[error("cannot set up TLS: {0}")]
    Setup(String),
}

/// Whom to trust, and where that comes from.
#[derive(Debug)]
pub struct Trust {
    /// The configuration of every connection.
    pub config: ClientConfig,
    /// Whose certificates these are, in words: how many of the system, of a variable, of `--ca-file`.
    pub sources: Vec<String>,
}

/// The configuration of every connection; the certificates in `ca_file` are trusted, too.
///
/// Where the system has no certificates, as on a bare container image, Mozilla's list stands in.
///
/// # Errors
///
/// [`TrustError`] if a file or folder that someone has named is not there or holds no certificate.
pub fn client_config(ca_file: Option<&Path>) -> Result<Trust, TrustError> {
    client_config_with(ca_file, |name| env::var_os(name))
}

/// A configuration that trusts no one: for what speaks no TLS.
///
/// # Errors
///
/// [`TrustError::Setup`]; never in practice.
pub fn trusting_no_one() -> Result<Trust, TrustError> {
    Ok(Trust { config: configure(RootCertStore::empty(), Vec::new())?, sources: Vec::new() })
}

fn client_config_with(
    ca_file: Option<&Path>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Trust, TrustError> {
    let (mut roots, mut given, mut sources) = (RootCertStore::empty(), Vec::new(), Vec::new());
    let (file, folders) = (variable(FILE_VARIABLE), variable(FOLDER_VARIABLE));
    if file.is_none() && folders.is_none() {
        let (taken, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        sources.push(format!("{taken} certificates of the system"));
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            sources = vec![format!("{} certificates of Mozilla's list, for the system has none", roots.len())];
        }
    }
    if let Some(file) = file {
        given.push(Given::file(FILE_VARIABLE, Path::new(&file))?);
    }
    for folder in folders.iter().flat_map(env::split_paths) {
        given.push(Given::folder(FOLDER_VARIABLE, &folder)?);
    }
    if let Some(path) = ca_file {
        given.push(Given::file("--ca-file", path)?);
    }
    for Given { of, path, certificates } in &given {
        sources.push(format!("{} of {of} {}", certificates.len(), path.display()));
        for certificate in certificates {
            roots.add(certificate.clone()).map_err(|error| TrustError::Invalid {
                of,
                path: path.clone(),
                why: error.to_string(),
            })?;
        }
    }
    let config = configure(roots, given.into_iter().flat_map(|given| given.certificates).collect())?;
    Ok(Trust { config, sources })
}

const FILE_VARIABLE: &str = "SSL_CERT_FILE";
const FOLDER_VARIABLE: &str = "SSL_CERT_DIR";

/// Certificates that someone has named.
struct Given {
    of: &'static str,
    path: PathBuf,
    certificates: Vec<CertificateDer<'static>>,
}

impl Given {
    fn file(of: &'static str, path: &Path) -> Result<Self, TrustError> {
        let certificates = read(path).map_err(|source| TrustError::Unreadable { of, path: path.to_owned(), source })?;
        Self { of, path: path.to_owned(), certificates }.if_any()
    }

    /// Every file in a folder, whatever its name; what holds no certificate is passed over.
    fn folder(of: &'static str, path: &Path) -> Result<Self, TrustError> {
        let entries = std::fs::read_dir(path);
        let entries = entries.map_err(|source| TrustError::Unreadable { of, path: path.to_owned(), source })?;
        let files = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file());
        let mut certificates: Vec<_> = files.take(FILES_MAX).filter_map(|file| read(&file).ok()).flatten().collect();
        // The names by hash are links to the same files.
        certificates.sort_unstable_by(|one, other| one.as_ref().cmp(other.as_ref()));
        certificates.dedup();
        Self { of, path: path.to_owned(), certificates }.if_any()
    }

    fn if_any(self) -> Result<Self, TrustError> {
        if self.certificates.is_empty() {
            return Err(TrustError::Empty { of: self.of, path: self.path });
        }
        Ok(self)
    }
}

fn read(path: &Path) -> std::io::Result<Vec<CertificateDer<'static>>> {
    let (bytes, _) = small_file::read(path, FILE_BYTES_MAX)?;
    Ok(CertificateDer::pem_slice_iter(&bytes).flatten().collect())
}

fn configure(roots: RootCertStore, given: Vec<CertificateDer<'static>>) -> Result<ClientConfig, TrustError> {
    let setup = |error: &dyn std::fmt::Display| TrustError::Setup(error.to_string());
    let provider = Arc::new(ring::default_provider());
    let versions = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let versions = versions.map_err(|error| setup(&error))?;
    if roots.is_empty() {
        return Ok(versions.with_root_certificates(roots).with_no_client_auth());
    }
    let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let chain = chain.map_err(|error| setup(&error))?;
    // What rustls calls dangerous is any verifier but its own; this one asks its own.
    let verifier = Arc::new(Verifier { chain, given });
    Ok(versions.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// rustls' own checks, and one case that OpenSSL takes and rustls does not: a server that shows a CA's certificate
/// (what `openssl req -x509` makes), if this very certificate was given as trusted.
#[derive(Debug)]
struct Verifier {
    chain: Arc<WebPkiServerVerifier>,
    given: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let verified = self.chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let verified = match verified {
            // webpki looks at the dates before it says so; what is left is the name, and that the server has the key,
            // which the handshake shows.
            Err(error) if is_ca(&error) && self.given.iter().any(|given| given == end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)
                    .map(|()| ServerCertVerified::assertion())
            }
            verified => verified,
        };
        verified.map_err(with_advice)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Whether the server showed a CA's certificate.
fn is_ca(error: &TlsError) -> bool {
    let TlsError::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error else { return false };
    matches!(cause.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// A refusal that says what to do; where it is printed nobody knows of certificates.
#[derive(Debug, Error)]
#[error("the server's certificate is not to be trusted: {0}")]
struct Advised(String);

fn with_advice(error: TlsError) -> TlsError {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
        UnknownIssuer,
    };
    let is_ca = is_ca(&error);
    let TlsError::InvalidCertificate(cause) = error else { return error };
    // The names are the server's: there may be any number of them.
    let told = Excerpt::of(&cause.to_string());
    let advised = match &cause {
        UnknownIssuer => {
            "nobody known here has issued it; if it is the right server, give its issuer's certificate, or \
                          its own, with --ca-file"
                .to_owned()
        }
        _ if is_ca => "it is a CA's own and not known here; if it is the right server, give this certificate itself \
                       with --ca-file"
            .to_owned(),
        NotValidForName | NotValidForNameContext { .. } => {
            format!("{told}; use a name that it has, or make one with -addext subjectAltName=DNS:NAME (or IP:ADDRESS)")
        }
        Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. } => {
            format!("{told}; renew it, or set this machine's clock right")
        }
        _ => return TlsError::InvalidCertificate(cause),
    };
    // Not as a `CertificateError`, which prints in Rust's own form.
    TlsError::Other(OtherError(Arc::new(Advised(advised))))
}
