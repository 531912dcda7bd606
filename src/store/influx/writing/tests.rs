use super::*;
use crate::store::influx::line::encode_all;
use crate::trade::example::trade;

const NOW: i64 = 1_767_268_800_000;

fn lines(count: u64) -> Lines {
    let trades: Vec<_> = (1..=count).map(|id| trade(id, NOW)).collect();
    encode_all(&trades, &"binance".parse().unwrap())
}

fn now() -> TradeTime {
    TradeTime::from_ms(NOW).unwrap()
}

/// Answers every body with what `answer` says of it; gives how many there were, and how it ended.
fn sent(
    lines: &Lines,
    number: u32,
    limit: &BodyLimit,
    answer: impl Fn(&str) -> (u16, String),
) -> (usize, Result<Written, WriteError>) {
    let attempt = Attempt { number, exchange_time: Some(now()) };
    let mut writing = Writing::new(lines, attempt, limit, Refusals::default());
    let mut bodies = 0;
    while let Some(body) = writing.next_body() {
        bodies += 1;
        let (status, body) = answer(std::str::from_utf8(&body).unwrap());
        if let Err(error) = writing.answered(&Reply { status, body, retry_after: None }, now(), || status.to_string()) {
            return (bodies, Err(error));
        }
    }
    (bodies, Ok(writing.finish().0))
}

fn unparsable(line: &str) -> (u16, String) {
    (400, serde_json::json!({"code": "invalid", "message": format!("unable to parse '{line}': bad")}).to_string())
}

fn stored() -> (u16, String) {
    (204, String::new())
}

#[test]
fn a_line_that_is_refused_is_found_by_halving_and_the_rest_is_stored() {
    let answer = |body: &str| match body.lines().find(|line| line.contains("trade_id=700i")) {
        Some(line) => unparsable(line),
        None => stored(),
    };
    let (bodies, written) = sent(&lines(1_000), 0, &BodyLimit::default(), answer);
    let refused: Vec<_> = written.unwrap().refused.iter().map(|line| line.id.get()).collect();
    assert_eq!(refused, [700]);
    assert!((11..=21).contains(&bodies), "{bodies} bodies for ten halvings");
}

#[test]
fn lines_that_are_all_refused_are_nobodys_fault() {
    let (_, written) = sent(&lines(1_000), 0, &BodyLimit::default(), |body| unparsable(body.lines().next().unwrap()));
    assert!(matches!(written, Err(WriteError::Held { .. })), "{written:?}");
}

#[test]
fn a_500_is_halved_once_at_the_fifth_try() {
    let failed = |_: &str| (500, String::new());
    for (number, expected) in [(0, 1), (1, 1), (4, 1), (5, 2), (6, 1), (10, 2)] {
        let (bodies, written) = sent(&lines(8), number, &BodyLimit::default(), failed);
        assert_eq!(bodies, expected, "try {number}");
        assert!(matches!(written, Err(WriteError::Transient { .. })));
    }
}

#[test]
fn after_a_storm_of_413_a_batch_does_not_go_line_by_line() {
    let (limit, batch) = (BodyLimit::default(), lines(10_000));
    let (_, written) = sent(&batch, 0, &limit, |_| (413, String::new()));
    assert!(matches!(written, Err(WriteError::Held { .. })));
    let (bodies, written) = sent(&batch, 1, &limit, |_| stored());
    assert!(written.is_ok() && bodies < 20, "{bodies} bodies");
}

#[test]
fn a_limit_of_bytes_is_found_and_kept_to() {
    let (limit, batch) = (BodyLimit::default(), lines(1_000));
    let most = batch.bytes.len() / 5;
    let answer = |body: &str| if body.len() > most { (413, String::new()) } else { stored() };
    for _ in 0..5 {
        let (bodies, written) = sent(&batch, 0, &limit, answer);
        assert!(written.is_ok() && bodies <= 25, "{bodies} bodies for five limits' worth");
    }
}

#[test]
fn what_is_too_old_is_not_sent() {
    let trades = [trade(1, NOW - 25 * 3_600_000), trade(2, NOW)];
    let batch = encode_all(&trades, &"binance".parse().unwrap());
    let (bodies, written) = sent(&batch, 0, &BodyLimit::default(), |body| {
        assert_eq!(body.lines().count(), 1);
        stored()
    });
    assert_eq!((bodies, written.unwrap().expired.count()), (1, 1));
    let (bodies, written) =
        sent(&encode_all(&trades[..1], &"binance".parse().unwrap()), 0, &BodyLimit::default(), |_| {
            unreachable!("nothing is left")
        });
    assert_eq!((bodies, written.unwrap().expired.count()), (0, 1));
}
