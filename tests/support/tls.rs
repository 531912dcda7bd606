//! Certificates as people make them, with openssl, and a front with TLS before a plain server, as nginx is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

const CURVE: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];

/// A folder of certificates and keys: `NAME.pem` and `NAME.key`.
pub struct Certificates {
    folder: TempDir,
}

impl Certificates {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca = "[ca]\ndefault_ca=here\n[here]\ndatabase=index\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\n\
                  policy=any\ncopy_extensions=copy\nunique_subject=no\n[any]\ncommonName=supplied\n";
        for (file, text) in [("ca.cnf", ca), ("index", ""), ("serial", "01\n")] {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        Self { folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn pem(&self, name: &str) -> PathBuf {
        self.path().join(format!("{name}.pem"))
    }

    /// What the usual command makes: self-signed, CA:TRUE.
    pub fn usual(&self, name: &str, extensions: &[&str]) {
        let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
        let args = ["req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", &key, "-out", &pem];
        self.openssl(&[&args[..], &CURVE, &with_addext(extensions)].concat());
    }

    /// A certificate with these extensions, by `issuer` or else by itself; one that has expired is of 2020.
    pub fn issue(&self, name: &str, extensions: &[&str], issuer: Option<&str>, is_expired: bool) {
        let (key, csr, pem) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.pem"));
        let args = ["req", "-new", "-nodes", "-subj", "/CN=localhost", "-keyout", &key, "-out", &csr];
        let subject = if issuer.is_none() { ["-subj", &format!("/CN={name}")] } else { ["-subj", "/CN=localhost"] };
        self.openssl(&[&args[..], &CURVE, &subject, &with_addext(extensions)].concat());
        let dates: &[_] = if is_expired {
            &["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"]
        } else {
            &["-days", "2"]
        };
        let (issuer_pem, issuer_key) =
            (format!("{}.pem", issuer.unwrap_or(name)), format!("{}.key", issuer.unwrap_or(name)));
        let by: &[_] = if issuer.is_some() {
            &["-cert", &issuer_pem, "-keyfile", &issuer_key]
        } else {
            &["-selfsign", "-keyfile", &key]
        };
        let args = ["ca", "-config", "ca.cnf", "-batch", "-notext", "-in", &csr, "-out", &pem];
        self.openssl(&[&args[..], dates, by].concat());
    }

    fn openssl(&self, args: &[&str]) {
        let output = Command::new("openssl").args(args).current_dir(self.path()).output().unwrap();
        assert!(output.status.success(), "openssl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A front before `server` that shows the certificate `name`.
    pub async fn front(&self, name: &str, server: SocketAddr) -> SocketAddr {
        let chain = CertificateDer::pem_file_iter(self.pem(name)).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(self.path().join(format!("{name}.key"))).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(chain, key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                // A client that refuses the certificate ends its own connection only.
                tokio::spawn(async move {
                    let mut client = acceptor.accept(client).await.ok()?;
                    let mut server = TcpStream::connect(server).await.ok()?;
                    copy_bidirectional(&mut client, &mut server).await.ok()
                });
            }
        });
        address
    }
}

fn with_addext<'a>(extensions: &[&'a str]) -> Vec<&'a str> {
    extensions.iter().flat_map(|extension| ["-addext", extension]).collect()
}
