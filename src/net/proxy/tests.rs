use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Proxies, ProxyError> {
    Proxies::new(|name| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| value.into()))
}

fn way(proxies: &Proxies, url: &str) -> Option<String> {
    proxies.for_url(&url.parse().unwrap()).map(ToString::to_string)
}

#[test]
fn each_scheme_has_its_variable_and_all_proxy_stands_in() {
    let proxies = read(&[("HTTP_PROXY", "http://plain:3128"), ("ALL_PROXY", "socks5h://any")]).unwrap();
    for (url, proxy) in [
        ("http://influx.example:8086", "plain:3128 (HTTP_PROXY)"),
        ("ws://exchange.example", "plain:3128 (HTTP_PROXY)"),
        ("https://api.binance.com", "any:1080 (ALL_PROXY)"),
        ("wss://stream.binance.com:9443", "any:1080 (ALL_PROXY)"),
        ("http://192.0.2.1", "plain:3128 (HTTP_PROXY)"),
        ("http://[2001:db8::1]:8086", "plain:3128 (HTTP_PROXY)"),
        ("http://influxdb:8086", "plain:3128 (HTTP_PROXY)"),
    ] {
        assert_eq!(way(&proxies, url).as_deref(), Some(proxy), "{url}");
    }
    let proxies = read(&[("https_proxy", "lower:1"), ("HTTPS_PROXY", ""), ("HTTP_PROXY", "")]).unwrap();
    assert_eq!(way(&proxies, "https://h.example").as_deref(), Some("lower:1 (https_proxy)"), "empty is not set");
    assert_eq!(way(&proxies, "http://h.example"), None);
    assert_eq!(way(&read(&[]).unwrap(), "https://h.example"), None);
}

#[test]
fn this_machine_is_never_behind_a_proxy() {
    let proxies = read(&[("ALL_PROXY", "http://p:1")]).unwrap();
    for host in
        ["localhost", "localhost.", "a.localhost", "127.0.0.1", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]
    {
        for scheme in ["http", "https", "ws", "wss"] {
            assert_eq!(way(&proxies, &format!("{scheme}://{host}:8086")), None, "{host}");
        }
    }
    assert!(way(&proxies, "http://localhost.example").is_some());
}

#[test]
fn no_proxy_has_names_suffixes_addresses_networks_and_ports() {
    let list = "influx.example, .corp.example,*.lab.example 10.0.0.0/8,192.0.2.7,[2001:db8::5],2001:db8:1::/48,\
                ported.example:8086,[2001:db8::6]:9,BÜCHER.example,dot.example.";
    let proxies = read(&[("all_proxy", "p:1"), ("no_proxy", list)]).unwrap();
    for url in [
        "http://influx.example",
        "http://INFLUX.example:8086",
        "wss://a.influx.example:9443",
        "http://corp.example",
        "http://x.y.corp.example",
        "http://a.lab.example",
        "http://10.200.3.4",
        "http://192.0.2.7:8086",
        "http://[2001:db8::5]:8086",
        "http://[2001:db8:1::9]",
        "http://ported.example:8086",
        "http://[2001:db8::6]:9",
        "http://bücher.example",
        "http://dot.example",
        "http://influx.example.",
    ] {
        assert_eq!(way(&proxies, url), None, "{url}");
    }
    for url in [
        "http://notinflux.example",
        "http://influx.example.com",
        "http://11.0.0.1",
        "http://192.0.2.8",
        "http://[2001:db8::6]",
        "http://ported.example",
        "https://ported.example",
        "http://example",
    ] {
        assert!(way(&proxies, url).is_some(), "{url}");
    }
    for list in ["*", "a.example,*", " * "] {
        let proxies = read(&[("ALL_PROXY", "p:1"), ("NO_PROXY", list)]).unwrap();
        assert_eq!((way(&proxies, "http://h.example"), way(&proxies, "http://192.0.2.1")), (None, None), "{list:?}");
    }
}

#[test]
fn users_and_passwords_are_used_and_never_printed() {
    let proxies = read(&[("HTTP_PROXY", "http://me:s%40cret%2Fx@p:3128"), ("HTTPS_PROXY", "socks5://me:s%40cret@p")]);
    let proxies = proxies.unwrap();
    let (http, socks) = (proxies.http.as_ref().unwrap(), proxies.https.as_ref().unwrap());
    // base64 of "me:s@cret/x", by the base64 command.
    assert_eq!(http.basic_auth().unwrap(), "Basic bWU6c0BjcmV0L3g=");
    assert_eq!((socks.is_socks(), socks.socks_auth()), (true, Some(("me", "s@cret"))));
    assert_eq!(http.uri(), "http://p:3128/");
    assert!(!format!("{proxies:?}{http}{socks}{:?}", http.uri()).contains("cret"));
    // Unescaped signs that a password may have.
    let proxies = read(&[("HTTP_PROXY", "me:p@ss@p:3128")]).unwrap();
    assert_eq!(way(&proxies, "http://h.example").as_deref(), Some("p:3128 (HTTP_PROXY)"));
}

#[test]
fn what_is_no_proxy_is_refused_by_its_variable() {
    for value in [
        "http://",
        "socks5://",
        "socks4://p:1",
        "ftp://p",
        "http://me:hunter2@p:port",
        "hunter2@",
        "http://hun ter2",
        "p:99999",
    ] {
        for variable in ["HTTP_PROXY", "https_proxy", "ALL_PROXY"] {
            let error = read(&[(variable, value)]).unwrap_err().to_string();
            assert!(
                error.starts_with(variable) && error.contains("give http://HOST:PORT or socks5"),
                "{value}: {error}"
            );
            assert!(!error.contains("hun"), "{error}");
        }
    }
    let long = format!("socks5://u:{}@p", "x".repeat(256));
    assert!(read(&[("ALL_PROXY", &long)]).unwrap_err().to_string().contains("255"));
}
