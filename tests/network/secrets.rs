//! No user, password or token is shown, whatever goes wrong; and URLs that are more than a base are refused.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use crate::support::influxd::{TOKEN, free_port};
use crate::support::tunnel::{LOGIN_IN_URL, Tunnel};
use crate::support::{practice, runtime, tickflux, tickflux_in};

/// Everything that may hold a secret, with one.
const VARIABLES: [(&str, &str); 9] = [
    ("TICKFLUX_STORE", "http://me:hunter2@127.0.0.1:1?token=hunter2"),
    ("TICKFLUX_STREAM_URL", "ws://me:hunter2@127.0.0.1:1/ws?key=hunter2"),
    ("TICKFLUX_REST_URL", "http://me:hunter2@127.0.0.1:1"),
    ("HTTP_PROXY", "http://me:hunter2@127.0.0.1:1"),
    ("HTTPS_PROXY", "socks5://me:hunter2@127.0.0.1:1"),
    ("ALL_PROXY", "http://hunter2@127.0.0.1:1"),
    ("INFLUX_TOKEN", "hunter2"),
    ("INFLUX_HOST", "http://me:hunter2@127.0.0.1:1"),
    ("RUST_LOG", "trace"),
];

fn words(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn no_help_and_no_error_shows_a_secret_of_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let commands: [&[&str]; 12] = [
        &[],
        &["capture", "--duration", "1s"],
        &["latest"],
        &["at", "BTCUSDT", "-1m"],
        &["high-low", "BTCUSDT", "-1m"],
        &["candles", "BTCUSDT"],
        &["gaps", "--repair"],
        &["provision"],
        &["health", "--metrics-listen", "127.0.0.1:1"],
        &["exchange", "--replay", "absent"],
        &["demo", "--seed", "x"],
        &["completions", "bash"],
    ];
    for command in commands {
        for more in [&[][..], &["--help"], &["-h"], &["--nonsense"], &["http://me:hunter2@h"]] {
            let args = [command, more].concat();
            let said = words(&tickflux_in(folder.path(), &VARIABLES, &args));
            assert!(!said.contains("hunter2"), "{args:?}: {said}");
        }
    }
    for path in std::fs::read_dir(folder.path()).unwrap() {
        assert!(!path.unwrap().file_name().to_string_lossy().contains("hunter2"));
    }
}

#[test]
fn a_url_in_the_wrong_place_is_not_shown_with_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let url = "http://me:hunter2@h:8086";
    for args in [
        &["latest", url][..],
        &["latest", "--since", url],
        &["latest", "--nonsense", url],
        &["capture", "--symbols", url],
        &["capture", "--exchange", url],
        &["capture", "--stream-url", url, "--stream-url", url],
        &["capture", "--metrics-listen", url],
        &["health", "--metrics-listen", url],
        &["gaps", "--since", url],
        &["exchange", "--listen", url],
        &["latest", "--store", "influx://me:hunter2@h"],
        &["latest", "--store", "me:hunter2@h:8086"],
        &["capture", "--store", url],
        &["provision", "--store", url],
        &["gaps", "--repair", "--rest-url", url],
        &[url],
    ] {
        let output = tickflux(folder.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", words(&output));
        assert!(!words(&output).contains("hunter2"), "{args:?}: {}", words(&output));
    }
}

#[test]
fn a_base_url_that_is_more_than_a_base_is_refused_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    for (args, form) in [
        (&["capture", "--stream-url", "wss://s.example:9443/ws"][..], "give wss://s.example:9443"),
        (&["capture", "--stream-url", "wss://s.example/stream?streams=btcusdt@trade"], "give wss://s.example"),
        (&["capture", "--stream-url", "wss://s.example?timeUnit=MICROSECOND"], "give wss://s.example"),
        (&["capture", "--rest-url", "https://api.example/api/v3"], "give https://api.example"),
        (&["capture", "--rest-url", "wss://api.example"], "give https://api.example"),
        (&["gaps", "--rest-url", "https://api.example/api/v3/"], "give https://api.example"),
        (&["latest", "--store", "http://h:8086/api/v2/query"], "give http://h:8086"),
        (&["at", "BTCUSDT", "-1m", "--store", "http://h:8086/orgs/0123456789abcdef"], "give http://h:8086"),
        (&["provision", "--store", "https://h/influx/?org=o"], "give https://h/influx"),
        (&["capture", "--store", "http://me:pw@h:8086"], "give http://h:8086, and a token with --token-file"),
    ] {
        let output = tickflux(folder.path(), args);
        assert_eq!(output.status.code(), Some(2), "{}", words(&output));
        assert!(words(&output).trim_end().ends_with(form) && words(&output).lines().count() == 1, "{}", words(&output));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn the_log_at_its_loudest_holds_no_secret() {
    let (runtime, folder) = (runtime(), tempfile::tempdir().unwrap());
    let exchange = runtime.block_on(practice::start(practice::market(101, 500)));
    let proxy = Tunnel::http(&[("exchange.example", exchange.address())], true);
    let variables = [("HTTP_PROXY", &*format!("http://{LOGIN_IN_URL}@{}", proxy.address())), ("RUST_LOG", "trace")];
    let url = "//exchange.example:9443";
    let (stream, rest, store) = (format!("ws:{url}"), format!("http:{url}"), format!("http:{url}"));
    let args = ["capture", "--stream-url", &stream, "--rest-url", &rest, "--duration", "1s"];
    // Once into a file, and once against what is no InfluxDB, with the token.
    for store in ["sqlite:t.db", &store] {
        let said = words(&tickflux_in(folder.path(), &variables, &[&args[..], &["--store", store]].concat()));
        assert!(said.contains("exchange.example"));
        for secret in ["ecret", "bWU6cy9lY3JldA", TOKEN] {
            assert!(!said.contains(secret), "{secret} is in {said}");
        }
    }
    assert!(proxy.asked().iter().any(|request| request.starts_with("CONNECT")), "it went through the proxy");
}

#[test]
fn a_token_on_an_open_road_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let proxy = Tunnel::http(&[], false);
    let (url, loopback) = (format!("http://{}", proxy.address()), format!("http://127.0.0.1:{}", free_port()));
    for (store, is_warned) in [
        ("http://influx.example:8086", true),
        ("http://192.0.2.1:8086", true),
        ("http://influxdb:8086", false),
        ("https://influx.example:8086", false),
        (&loopback, false),
    ] {
        for command in [
            &["latest"][..],
            &["gaps", "--repair"],
            &["provision"],
            &["capture", "--duration", "1s", "--rest-url", &loopback],
        ] {
            let variables = [("HTTP_PROXY", &*url), ("HTTPS_PROXY", &url)];
            let output = tickflux_in(folder.path(), &variables, &[command, &["--store", store]].concat());
            let warning = format!("tickflux: the token goes to {store} in clear text");
            assert_eq!(words(&output).matches(&warning).count(), usize::from(is_warned), "{}", words(&output));
        }
    }
}

#[test]
fn a_token_file_that_everyone_may_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "an-example").unwrap();
    let store = format!("http://127.0.0.1:{}", free_port());
    for (mode, code) in [(0o644, 2), (0o604, 2), (0o666, 2), (0o600, 3), (0o640, 3), (0o400, 3)] {
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let output = tickflux(folder.path(), &["latest", "--store", &store, "--token-file", "token"]);
        assert_eq!(output.status.code(), Some(code), "{mode:o}: {}", words(&output));
        let remedy = format!("the token file token (mode {mode:04o}): chmod 600 token");
        assert_eq!(words(&output).contains(&remedy), code == 2, "{}", words(&output));
    }
    for (file, said) in [("/dev/zero", "more than 65536 bytes"), (".", "directory"), ("absent", "No such file")] {
        let output = tickflux(folder.path(), &["latest", "--store", &store, "--token-file", file]);
        assert_eq!(output.status.code(), Some(2), "{}", words(&output));
        assert!(words(&output).contains(said), "{}", words(&output));
    }
}
