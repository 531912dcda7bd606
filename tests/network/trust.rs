//! TLS with certificates as people make them, before real servers.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Output;

use crate::support::influxd::Influxd;
use crate::support::tls::Certificates;
use crate::support::trades::{exchanges_list, sqlite_trades};
use crate::support::tunnel::{LOGIN_IN_URL, Tunnel};
use crate::support::{practice, runtime, tickflux_in};

const SAN: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1";
const CA: &str = "basicConstraints=critical,CA:TRUE";
const NO_CA: &str = "basicConstraints=CA:FALSE";

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every kind of certificate that the tests need.
fn certificates() -> Certificates {
    let made = Certificates::new();
    made.usual("usual", &[SAN]);
    made.usual("twin", &[SAN]);
    made.usual("nameless", &[]);
    made.usual("elsewhere", &["subjectAltName=DNS:other.example"]);
    made.issue("plain", &[SAN, NO_CA], None, false);
    made.issue("old", &[SAN, CA], None, true);
    made.issue("authority", &[CA], None, false);
    made.issue("issued", &[SAN, NO_CA], Some("authority"), false);
    made.issue("issued_old", &[SAN, NO_CA], Some("authority"), true);
    made.issue("issued_ca", &[SAN, CA], Some("authority"), false);
    made
}

/// What `latest` says of an InfluxDB with TLS, which has no trade: exit code 1 if it was reached.
fn ask(folder: &Path, front: SocketAddr, variables: &[(&str, &str)], more: &[&str]) -> Output {
    let store = format!("https://localhost:{}", front.port());
    tickflux_in(folder, variables, &[&["latest", "--store", &store], more].concat())
}

#[test]
fn a_certificate_is_trusted_if_it_or_its_issuer_was_given() {
    let Some(influxd) = Influxd::start() else { return };
    let (runtime, folder, made) = (runtime(), tempfile::tempdir().unwrap(), certificates());
    let server: SocketAddr = influxd.url.trim_start_matches("http://").parse().unwrap();
    for (shown, given, words) in [
        ("usual", Some("usual"), None),
        ("usual", None, Some("--ca-file")),
        ("usual", Some("twin"), Some("give this certificate itself with --ca-file")),
        ("plain", Some("plain"), None),
        ("plain", None, Some("give its issuer's certificate, or its own, with --ca-file")),
        ("issued", Some("authority"), None),
        ("issued", Some("usual"), Some("give its issuer's certificate")),
        ("issued_ca", Some("authority"), Some("give this certificate itself with --ca-file")),
        ("issued_ca", Some("issued_ca"), None),
        ("issued_old", Some("authority"), Some("renew it, or set this machine's clock right")),
        ("old", Some("old"), Some("renew it, or set this machine's clock right")),
        ("nameless", Some("nameless"), Some("-addext subjectAltName=DNS:NAME")),
        ("elsewhere", Some("elsewhere"), Some("other.example")),
    ] {
        let front = runtime.block_on(made.front(shown, server));
        let pem = given.map(|name| made.pem(name).display().to_string());
        let args: Vec<_> = pem.iter().flat_map(|pem| ["--ca-file", pem]).collect();
        let output = ask(folder.path(), front, &[], &args);
        let said = stderr(&output);
        match words {
            None => assert_eq!(output.status.code(), Some(1), "{shown} by {given:?}: {said}"),
            Some(words) => {
                assert_eq!(output.status.code(), Some(3), "{shown} by {given:?}: {said}");
                assert!(said.contains(words) && said.lines().count() == 1, "{shown} by {given:?}: {said}");
            }
        }
    }
}

#[test]
fn certificates_are_taken_from_the_flag_and_from_the_environment() {
    let Some(influxd) = Influxd::start() else { return };
    let (runtime, folder, made) = (runtime(), tempfile::tempdir().unwrap(), certificates());
    let front = runtime.block_on(made.front("usual", influxd.url.trim_start_matches("http://").parse().unwrap()));
    let trusted = folder.path().join("trusted");
    std::fs::create_dir(&trusted).unwrap();
    std::fs::copy(made.pem("usual"), trusted.join("any-name.crt")).unwrap();
    std::fs::copy(made.path().join("usual.key"), trusted.join("usual.key")).unwrap();
    let (pem, twin) = (made.pem("usual").display().to_string(), made.pem("twin").display().to_string());
    let (dir, two) = (trusted.display().to_string(), format!("{}:{}", made.path().display(), trusted.display()));
    for variables in [
        &[("TICKFLUX_CA_FILE", &*pem)][..],
        &[("SSL_CERT_FILE", &pem)],
        &[("SSL_CERT_FILE", &pem), ("TICKFLUX_CA_FILE", "")],
        &[("SSL_CERT_DIR", &dir)],
        &[("SSL_CERT_DIR", &two)],
        &[("SSL_CERT_FILE", &twin), ("TICKFLUX_CA_FILE", &pem)],
        &[("SSL_CERT_FILE", &twin), ("SSL_CERT_DIR", &dir)],
    ] {
        let output = ask(folder.path(), front, variables, &[]);
        assert_eq!(output.status.code(), Some(1), "{variables:?}: {}", stderr(&output));
    }
    let output = ask(folder.path(), front, &[("SSL_CERT_FILE", &twin)], &[]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
}

#[test]
fn certificates_that_are_not_there_are_wrong_usage() {
    let (folder, made) = (tempfile::tempdir().unwrap(), certificates());
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("empty"), "").unwrap();
    std::fs::write(path("nonsense"), "-----BEGIN CERTIFICATE-----\nbm9uc2Vuc2U=\n-----END CERTIFICATE-----\n").unwrap();
    std::fs::create_dir(path("folder")).unwrap();
    let (absent, key) = (path("absent"), made.path().join("usual.key").display().to_string());
    for (file, words) in [
        (&absent, "No such file"),
        (&path("empty"), "holds no certificate"),
        (&key, "holds no certificate"),
        (&path("nonsense"), "holds what is no certificate"),
        (&path("folder"), "Is a directory"),
        (&"/dev/zero".to_owned(), "more than"),
    ] {
        for (of, variables, args) in [
            ("--ca-file", &[][..], &["--ca-file", file][..]),
            ("--ca-file", &[("TICKFLUX_CA_FILE", &**file)], &[]),
            ("SSL_CERT_FILE", &[("SSL_CERT_FILE", file)], &[]),
        ] {
            for command in
                [&["latest", "--store", "https://h"][..], &["capture"], &["provision", "--store", "http://h"]]
            {
                let output = tickflux_in(folder.path(), variables, &[command, args].concat());
                let said = stderr(&output);
                assert_eq!(output.status.code(), Some(2), "{said}");
                assert!([words, of, file].iter().all(|word| said.contains(*word)), "{said}");
            }
        }
    }
    for (dir, words) in
        [(absent, "No such file"), (path("folder"), "holds no certificate"), (path("empty"), "Not a directory")]
    {
        let output = tickflux_in(folder.path(), &[("SSL_CERT_DIR", &dir)], &["latest", "--store", "https://h"]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(words) && stderr(&output).contains("SSL_CERT_DIR"), "{}", stderr(&output));
    }
}

#[test]
fn a_capture_trusts_one_file_for_stream_rest_and_store() {
    let (runtime, folder, made) = (runtime(), tempfile::tempdir().unwrap(), certificates());
    let exchange = runtime.block_on(practice::start(practice::market(91, 2_000)));
    let front = runtime.block_on(made.front("usual", exchange.address()));
    let (stream, rest) = (format!("wss://localhost:{}", front.port()), format!("https://127.0.0.1:{}", front.port()));
    let pem = made.pem("usual").display().to_string();
    let args = ["capture", "--stream-url", &stream, "--rest-url", &rest, "--duration", "2m", "--count", "2000"];
    let output = tickflux_in(folder.path(), &[], &[&args[..], &["--ca-file", &pem]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(!stderr(&output).contains("could not be checked"), "{}", stderr(&output));
    assert!(sqlite_trades(&folder.path().join("tickflux.db")) == exchanges_list(&exchange));

    let args = [&args[..5], &["--duration", "1s", "--store", "sqlite:other.db"]].concat();
    let said = stderr(&tickflux_in(folder.path(), &[], &args));
    assert!(said.matches("--ca-file").count() >= 2, "stream and REST say what to do: {said}");
}

#[test]
fn tls_goes_through_proxies_and_up_to_them() {
    let (runtime, folder, made) = (runtime(), tempfile::tempdir().unwrap(), certificates());
    made.usual("far", &["subjectAltName=DNS:exchange.example"]);
    let bundle = folder.path().join("both.pem");
    let pems = ["usual", "far"].map(|name| std::fs::read_to_string(made.pem(name)).unwrap());
    std::fs::write(&bundle, pems.concat()).unwrap();
    let exchange = runtime.block_on(practice::start(practice::live_market(95, 2_000.0)));
    let far = runtime.block_on(made.front("far", exchange.address()));
    let (http, socks) =
        (Tunnel::http(&[("exchange.example", far)], true), Tunnel::socks(&[("exchange.example", far)], true));
    let near = runtime.block_on(made.front("usual", http.address()));
    let args = ["capture", "--stream-url", "wss://exchange.example", "--rest-url", "https://exchange.example:444"];
    let end = ["--duration", "2m", "--count", "500", "--ca-file", bundle.to_str().unwrap()];
    for (at, proxy) in [
        format!("http://{LOGIN_IN_URL}@{}", http.address()),
        format!("socks5h://{LOGIN_IN_URL}@{}", socks.address()),
        format!("https://{LOGIN_IN_URL}@localhost:{}", near.port()),
    ]
    .iter()
    .enumerate()
    {
        let (store, outbox) = (format!("sqlite:{at}.db"), at.to_string());
        let more = ["--store", &store, "--outbox", &outbox];
        let output = tickflux_in(folder.path(), &[("https_proxy", proxy)], &[&args[..], &end, &more].concat());
        assert_eq!(output.status.code(), Some(0), "{proxy}: {}", stderr(&output));
        assert!(!stderr(&output).contains("could not be checked"), "{}", stderr(&output));
    }
    for (asked, times) in [(http.asked(), 2), (socks.asked(), 1)] {
        for target in ["CONNECT exchange.example:443", "CONNECT exchange.example:444"] {
            assert!(asked.iter().filter(|request| *request == target).count() >= times, "{target} in {asked:?}");
        }
    }
}
