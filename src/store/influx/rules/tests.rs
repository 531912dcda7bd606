//! The table, answer by answer. The bodies are what InfluxDB 2.9.1, proxies and other servers were seen to send.

use super::*;

const LINE: &str = "trade,exchange=binance,symbol=BTCUSDT price=\"1.2\",price_float=1.2.3 1795395410513469453";

fn ruled(status: u16, body: &str) -> Rule {
    rule(WriteAnswer { status, body, retry_after: None }, Sent { lone_line: None, attempt: 0 })
}

fn ruled_alone(status: u16, body: &str) -> Rule {
    rule(WriteAnswer { status, body, retry_after: None }, Sent { lone_line: Some(LINE), attempt: 0 })
}

fn own(code: &str, message: &str) -> String {
    serde_json::json!({"code": code, "message": message}).to_string()
}

fn is_held(rule: &Rule) -> bool {
    matches!(rule, Rule::Hold(_))
}

#[test]
fn success_is_204_alone() {
    assert_eq!(ruled(204, ""), Rule::Stored);
    for status in [200, 201, 301, 302, 304, 405] {
        assert!(is_held(&ruled(status, "<html>")), "{status}");
    }
}

#[test]
fn a_line_that_influxdb_quotes_is_found_and_refused() {
    let quoting = own("invalid", &format!("unable to parse '{LINE}': invalid number"));
    assert_eq!(ruled(400, &quoting), Rule::Split);
    assert_eq!(ruled_alone(400, &quoting), Rule::Refuse);
    // Of many bad lines the answer is long, and only its begin is read.
    let cut = &own("invalid", &format!("unable to parse '{LINE}': invalid number\n").repeat(99))[..4_000];
    assert_eq!(ruled(400, cut), Rule::Split);
    assert!(is_held(&ruled_alone(400, cut)), "what is not whole proves nothing");
}

#[test]
fn a_refusal_that_is_not_influxdbs_own_or_names_no_line_is_held() {
    let other_line = own("invalid", "unable to parse 'trade,symbol=X price=1 5': invalid number");
    for (status, body) in [
        (400, "Client sent an HTTP request to an HTTPS server.\n"),
        (400, "<html><head><title>400 Bad Request</title></head></html>"),
        (400, ""),
        (400, r#"{"error":"partial write: field type conflict: input field \"price\" is type string"}"#),
        (400, r#"{"error":"partial write of line protocol occurred","data":[{"line_number":1}]}"#),
        (400, &own("invalid", "Please provide either orgID or org")),
        (400, &own("invalid", "invalid precision; valid precision units are ns, us, ms, and s")),
        (401, "<html>please log in</html>"),
        (403, "<html>blocked by policy</html>"),
        (403, &own("forbidden", "insufficient permissions for write")),
        (401, &own("unauthorized", "unauthorized access")),
        (404, &own("not found", "bucket \"nope\" not found")),
        (404, "404 page not found"),
        (407, "<html>proxy authentication required</html>"),
        (411, "length required"),
        (422, "<html>unprocessable</html>"),
        (422, r#"{"error":"nothing of InfluxDB's"}"#),
        (451, "unavailable"),
    ] {
        assert!(is_held(&ruled(status, body)), "{status} {body}");
        assert!(is_held(&ruled_alone(status, body)), "{status} {body}");
    }
    assert!(is_held(&ruled_alone(400, &other_line)), "another line is quoted");
    assert!(is_held(&ruled_alone(413, "<html>too large</html>")));
    assert_eq!(ruled(413, "<html>too large</html>"), Rule::Split);
}

#[test]
fn what_is_to_be_done_is_said_as_it_is() {
    let advice = |status, body: &str| match ruled(status, body) {
        Rule::Hold(advice) => advice,
        other => panic!("{status} {body}: {other:?}"),
    };
    assert!(advice(400, "Client sent an HTTP request to an HTTPS server.").contains("https://"));
    assert!(advice(403, "<html>").contains("not InfluxDB's own") && !advice(403, "<html>").contains("token"));
    assert!(advice(403, &own("forbidden", "insufficient permissions for write")).contains("token may not write"));
    assert!(advice(400, &own("invalid", "Please provide either orgID or org")).contains("--org"));
}

#[test]
fn a_partial_write_is_expired_or_another_types_fault() {
    let expired = own(
        "unprocessable entity",
        "failure writing points to database: partial write: dropped 2 points outside retention policy of duration 24h0m0s - \
         oldest point t at 2026-11-21T00:54:23Z dropped because it violates a Retention Policy Lower Bound at \
         2026-11-22T00:54:23Z, newest point … dropped=2 for database: 7221 for retention policy: autogen",
    );
    assert!(matches!(ruled(422, &expired), Rule::Expired(Retention { bound: Some(_), .. })));
    let conflict = own(
        "unprocessable entity",
        "failure writing points to database: partial write: field type conflict: input field \"price\" on measurement \
         \"trade\" is type string, already exists as type float dropped=10",
    );
    assert!(is_held(&ruled(422, &conflict)) && is_held(&ruled_alone(422, &conflict)));
    let quoting = own("unprocessable entity", &format!("partial write: string too long in '{LINE}' dropped=1"));
    assert_eq!((ruled(422, &quoting), ruled_alone(422, &quoting)), (Rule::Split, Rule::Refuse));
}

#[test]
fn busy_answers_are_tried_again_when_they_ask_for_it() {
    for status in [408, 425, 429, 499, 503] {
        assert_eq!(ruled(status, ""), Rule::Retry(None), "{status}");
        let wait = Some(Duration::from_secs(7));
        let answer = WriteAnswer { status, body: r#"{"status":"starting"}"#, retry_after: wait };
        assert_eq!(rule(answer, Sent { lone_line: None, attempt: 0 }), Rule::Retry(wait));
    }
    assert_eq!(ruled(400, &own("invalid", "gzip: invalid checksum")), Rule::Retry(None));
}

#[test]
fn unknown_outcomes_are_tried_again_and_split_only_now_and_then() {
    for status in [500, 502, 504] {
        assert_eq!(ruled(status, ""), Rule::Retry(None), "{status}");
    }
    let answer = WriteAnswer { status: 500, body: "", retry_after: None };
    let splits = |attempt: &u32| rule(answer, Sent { lone_line: None, attempt: *attempt }) == Rule::Split;
    assert_eq!((0..16).filter(splits).collect::<Vec<_>>(), [5, 10, 15]);
}
