use proptest::prelude::*;

use super::*;

fn base(service: Service, text: &str) -> Result<String, String> {
    Endpoint::new(service, text).map(|endpoint| endpoint.to_string()).map_err(|error| error.to_string())
}

#[test]
fn a_base_is_scheme_host_port_and_a_path_in_front() {
    for (service, text, expected) in [
        (Service::Stream, "wss://stream.binance.com:9443", "wss://stream.binance.com:9443"),
        (Service::Stream, "wss://stream.binance.com:9443/", "wss://stream.binance.com:9443"),
        (Service::Stream, " WSS://Stream.Binance.COM:443 ", "wss://stream.binance.com"),
        (Service::Stream, "ws://[::1]:9100", "ws://[::1]:9100"),
        (Service::Rest, "https://api.binance.com", "https://api.binance.com"),
        (Service::Rest, "http://gateway/binance//", "http://gateway/binance"),
        (Service::Influx, "http://127.0.0.1:8086", "http://127.0.0.1:8086"),
        (Service::Influx, "http://h:80/influx/", "http://h/influx"),
        (Service::Influx, "https://influx_db:8086", "https://influx_db:8086"),
        (Service::Influx, "https://bücher.example", "https://xn--bcher-kva.example"),
        (Service::Influx, "http://h/orgsmith/queryable", "http://h/orgsmith/queryable"),
    ] {
        assert_eq!(base(service, text), Ok(expected.to_owned()), "{text}");
    }
    assert_eq!(Endpoint::new(Service::Rest, "http://h/x/").unwrap().join("/api/v3/time"), "http://h/x/api/v3/time");
}

#[test]
fn what_is_more_than_a_base_is_refused_with_the_right_form() {
    for (service, text, words) in [
        (
            Service::Stream,
            "wss://s.example:9443/ws",
            "has /ws in it, which is behind the base: give wss://s.example:9443",
        ),
        (Service::Stream, "wss://s.example:9443/x/stream?streams=a@trade", "has a query: give wss://s.example:9443/x"),
        (Service::Stream, "wss://s.example/?timeUnit=MICROSECOND", "has a query: give wss://s.example"),
        (Service::Stream, "wss://s.example/stream/", "has /stream in it"),
        (Service::Stream, "https://s.example", "neither wss:// nor ws://: give wss://s.example"),
        (Service::Stream, "stream.binance.com:9443", "is no URL: give wss://stream.binance.com:9443"),
        (Service::Stream, "localhost:9100", "is no URL: give wss://localhost:9100"),
        (Service::Rest, "ws://h:1/api/v3", "neither https:// nor http://: give http://h:1"),
        (
            Service::Rest,
            "https://api.binance.com/API/v3/",
            "has /api/v3 in it, which is behind the base: give https://api.binance.com",
        ),
        (Service::Rest, "https://h/x/api/v3/time", "give https://h/x"),
        (Service::Rest, "https://h/#top", "has a fragment: give https://h"),
        (
            Service::Influx,
            "http://h:8086/api/v2/write",
            "has /api/v2 in it, which is behind the base: give http://h:8086",
        ),
        (Service::Influx, "http://h:8086/orgs/0a1b2c3d4e5f6071/data-explorer", "give http://h:8086"),
        (Service::Influx, "http://h:8086/signin?returnTo=/", "give http://h:8086"),
        (Service::Influx, "http://h/influx/health", "give http://h/influx"),
        (Service::Influx, "http://h?org=tickflux&bucket=ticks", "has a query: give http://h"),
        (Service::Influx, "ftp://h", "neither https:// nor http://: give https://HOST:PORT"),
        (Service::Influx, "http://", "is no URL"),
        (Service::Influx, "", "is no URL"),
        (Service::Influx, "http:/h", "is no URL"),
        (Service::Influx, "http://h:99999", "is no URL"),
        (Service::Influx, "http://a b", "is no URL"),
        (Service::Influx, "http://[::1", "is no URL"),
    ] {
        let error = base(service, text).unwrap_err();
        assert!(error.starts_with(service.flag()), "{error}");
        assert!(error.contains(words), "{text}: {error}");
        assert!(!error.contains("MICROSECOND") && !error.contains("ticks"), "queries are not shown: {error}");
    }
}

#[test]
fn a_password_is_never_shown() {
    for text in [
        "http://user:hunter2@h:8086",
        "http://hunter2@h:8086",
        "http://user:hun/ter2@h:8086",
        "http://user:hun ter2@h:8086",
        "http://user:hunter2@h:port",
        "http://user:hunter2@",
        "http://user:hunter2",
        "user:hunter2@h:8086",
        "postgres://user:hunter2@h/db",
        "http://h:8086?u=user&p=hunter2",
        "http://h:8086#hunter2",
        "http://h h?token=hunter2",
        "http://user:hunter2@h:8086/api/v2?p=hunter2",
        "http://user:123hunter2@",
        "http://user:hunter2/3@h",
        "user/hunter2@h",
    ] {
        for service in [Service::Stream, Service::Rest, Service::Influx] {
            let error = Endpoint::new(service, text).unwrap_err();
            let said = format!("{error} {error:?} {:?}", text.parse::<UrlText>().unwrap());
            assert!(!said.contains("hunter2") && !said.contains("ter2"), "{text}: {said}");
        }
    }
    for text in ["http://user:77#hash@h", "http://user:77?hash@h", "http://user:77/hash@h"] {
        let error = base(Service::Influx, text).unwrap_err();
        assert!(!error.contains("77") && !error.contains("hash"), "{error}");
    }
    let error = base(Service::Influx, "http://me:hunter2@h:8086").unwrap_err();
    let said =
        "--store http://h:8086/ has a user or a password in it: give http://h:8086, and a token with --token-file";
    assert_eq!(error, said);
    let line = "invalid value 'http://me:hunter2@h' for '[SYMBOLS]...': see --help";
    assert_eq!(without_credentials(line), "invalid value 'http://…@h' for '[SYMBOLS]...': see --help");
    assert_eq!(without_credentials("see https://h/ for a@b"), "see https://…@b", "rather too little than too much");
    assert_eq!(without_credentials("btcusdt@trade"), "btcusdt@trade");
}

#[test]
fn loopback_is_known_by_every_name() {
    for host in
        ["localhost", "LOCALHOST", "localhost.", "db.localhost", "127.0.0.1", "127.8.9.10", "[::1]", "::1", "0.0.0.0"]
    {
        assert!(is_loopback(host), "{host}");
    }
    assert!(is_loopback("[::ffff:127.0.0.1]") && is_loopback("[::]"));
    for host in ["localhost.example", "notlocalhost", "128.0.0.1", "[::2]", "influxdb", "10.0.0.1", ""] {
        assert!(!is_loopback(host), "{host}");
    }
}

#[test]
fn a_token_is_overheard_where_the_way_is_neither_encrypted_nor_near() {
    let overheard = |text| Endpoint::new(Service::Influx, text).unwrap().is_overheard();
    for text in ["http://influx.example", "http://10.0.0.5:8086", "http://[2001:db8::1]:8086", "http://8.8.8.8/influx"]
    {
        assert!(overheard(text), "{text}");
    }
    for text in
        ["https://influx.example", "http://influxdb:8086", "http://127.0.0.1", "http://a.localhost", "http://[::1]"]
    {
        assert!(!overheard(text), "{text}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "(wss|https?|x)?(:/{0,3})?.{0,40}") {
        for service in [Service::Stream, Service::Rest, Service::Influx] {
            if let Ok(endpoint) = Endpoint::new(service, &text) {
                let again = Endpoint::new(service, &endpoint.to_string()).map(|endpoint| endpoint.to_string());
                prop_assert_eq!(again.unwrap(), endpoint.to_string());
            }
        }
    }
}
