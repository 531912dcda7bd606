//! What is kept and moved, what is passed over, and numbers at their limits.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::*;

const RAW: &str = r#"{"e":"trade","E":1700000000001,"s":"BTCUSDT","t":41,"p":"37000.10000000","q":"0.00100000","T":1700000000000,"m":true,"M":true}"#;

fn lines() -> String {
    let combined = RAW.replace("41", "42").replace("00000001,", "00061001,").replace("1700000000000", "1700000061000");
    format!(
        "1700000000100000000 {RAW}\n1700000000200000000 {{\"result\":null,\"id\":1}}\n\
         1700000061100000000 {{\"stream\":\"btcusdt@trade\",\"data\":{combined}}}\n"
    )
}

fn loaded(bytes: &[u8], shift: Option<i64>) -> Result<Session, ReplayError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    load(file.path(), shift, TradeTime::from_ms(1_800_000_000_000).unwrap(), 100)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_session_is_kept_but_for_its_times() {
    for bytes in [lines().into_bytes(), gzip(lines().as_bytes()), lines().trim_end().as_bytes().to_vec()] {
        let session = loaded(&bytes, None).unwrap();
        let trades: Vec<_> = session.prints.iter().map(|(_, print)| print.trade.clone()).collect();
        assert_eq!(trades.iter().map(|trade| trade.id.get()).collect::<Vec<_>>(), [41, 42]);
        assert_eq!(trades[0].price.as_str(), "37000.10000000");
        assert_eq!(session.passed_over, 1);
        assert_eq!(session.prints[1].0, 61_000_000_000, "paced by the receive times");
        // 1_800_000_000_000 - 1_700_000_061_000 is 1_666_665 whole minutes and 39 s.
        assert_eq!(session.shift_minutes, 1_666_665);
        assert_eq!(trades[1].time.ms(), 1_800_000_000_000 - 39_000);
        assert_eq!(session.prints[0].1.event_ms - trades[0].time.ms(), 1);
    }
}

#[test]
fn a_shift_can_be_given() {
    assert_eq!(loaded(lines().as_bytes(), Some(-3)).unwrap().prints[0].1.trade.time.ms(), 1_699_999_820_000);
    for minutes in [i64::MIN, i64::MAX] {
        assert!(matches!(loaded(lines().as_bytes(), Some(minutes)), Err(ReplayError::Shift { .. })));
    }
}

#[test]
fn what_two_connections_delivered_becomes_one_order() {
    let line = |id: u64| format!("{id} {}\n", RAW.replace("41", &id.to_string()));
    let session = loaded([44, 42, 43, 42, 44, 45].map(line).concat().as_bytes(), None).unwrap();
    let prints: Vec<_> = session.prints.iter().map(|(at, print)| (*at, print.trade.id.get())).collect();
    assert_eq!(prints, [(0, 42), (0, 43), (0, 44), (1, 45)]);
    assert_eq!(session.repeated, 2);
}

#[test]
fn of_a_cut_recording_what_is_whole_is_replayed() {
    let (text, whole) = (lines(), gzip(lines().as_bytes()));
    let ids = |bytes: &[u8]| {
        let session = loaded(bytes, None).unwrap();
        assert!(session.is_cut);
        session.prints.iter().map(|(_, print)| print.trade.id.get()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&text.as_bytes()[..text.len() - 20]), [41]);
    assert_eq!(ids(&whole[..whole.len() - 9]), [41, 42]);
    // A capture that is killed leaves what it has flushed.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.flush().unwrap();
    assert_eq!(ids(encoder.get_ref()), [41, 42]);
    assert!(!loaded(text.as_bytes(), None).unwrap().is_cut);
    assert!(matches!(loaded(&text.as_bytes()[..20], None), Err(ReplayError::Cut { lines: 0, .. })));
}

#[test]
fn what_is_no_recording_is_refused() {
    for bytes in ["time,price\n1,2\n", "x\n", "1\n", " 1 {}\n"] {
        assert!(matches!(loaded(bytes.as_bytes(), None), Err(ReplayError::Foreign { .. })), "{bytes:?}");
    }
    let endless = vec![b'1'; LINE_BYTES_MAX as usize + 1];
    assert!(matches!(loaded(&endless, None), Err(ReplayError::Foreign { .. })));
    assert!(matches!(loaded(b"", None), Err(ReplayError::Empty { .. })));
    assert!(matches!(loaded(b"1 {\"result\":null}\n", None), Err(ReplayError::Empty { .. })));
}

#[test]
fn messages_that_a_capture_refused_are_passed_over_and_counted() {
    let bad = [
        "",
        "not JSON at all",
        r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":17"#,
        &RAW.replace("37000.10000000", "0"),
        &RAW.replace("37000.10000000", "6.1e4"),
        &RAW.replace(":41", ":18446744073709551615"),
        &RAW.replace("1700000000000", "-1"),
        "pretty\nprinted",
        "\u{1b}[2J",
        &"x".repeat(3 << 20),
    ];
    let (first, rest) = lines().split_once('\n').map(|(first, rest)| (first.to_owned(), rest.to_owned())).unwrap();
    let bad_lines: String = bad.iter().map(|message| format!("1700000000150000000 {message}\n")).collect();
    for whole in [format!("{first}\n{bad_lines}{rest}"), format!("{bad_lines}{first}\n{rest}")] {
        let session = loaded(whole.as_bytes(), None).unwrap();
        let ids: Vec<_> = session.prints.iter().map(|(_, print)| print.trade.id.get()).collect();
        assert_eq!(ids, [41, 42]);
        assert_eq!(session.shift_minutes, 1_666_665);
        let refused = session.refused.unwrap();
        // The one with a line break stands in two lines.
        assert_eq!((refused.messages, session.passed_over), (bad.len() + 1, 1));
    }
    let empty = loaded(format!("1 {}\n", bad[4]).as_bytes(), None).unwrap_err().to_string();
    assert!(empty.contains("holds no trade: 1 cannot be replayed: line 1: price \"6.1e4\""), "{empty}");
}

#[test]
fn one_absurd_time_does_not_move_the_others() {
    let absurd = format!("1700000000300000000 {}\n", RAW.replace("1700000000000", "9223372036853").replace("41", "43"));
    let session = loaded((lines() + &absurd).as_bytes(), None).unwrap();
    assert_eq!(session.shift_minutes, 1_666_665);
    assert_eq!((session.prints.len(), session.refused.unwrap().messages), (2, 1));
}

#[test]
fn a_recording_of_more_trades_than_are_kept_is_refused_before_it_is_read() {
    let line = |id: u64| format!("{id} {}\n", RAW.replace("41", &id.to_string()));
    let most = (1_000..1_100).map(line).collect::<String>();
    assert_eq!(loaded(most.as_bytes(), None).unwrap().prints.len(), 100);
    let now = TradeTime::from_ms(1_800_000_000_000).unwrap();
    let more = most + &line(1);
    let endless = BufReader::new(more.as_bytes().chain(std::io::repeat(b'1')));
    let read = read(endless, Path::new("x"), None, now, 100);
    assert!(matches!(read, Err(ReplayError::TooLong { most: 100, .. })));
}

/// Numbers around which something could overflow.
fn edge() -> impl Strategy<Value = String> {
    let edges = [0, 1, i64::MAX as u64 / 1_000_000, i64::MAX as u64 - 1, i64::MAX as u64, u64::MAX - 1, u64::MAX];
    prop_oneof![
        prop::sample::select(edges.to_vec()).prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        (1_699_999_000_000u64..1_700_001_000_000).prop_map(|number| number.to_string()),
        Just("99999999999999999999999".to_owned()),
        Just(i64::MIN.to_string()),
    ]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("9".repeat(28)),
        Just("0.0000000000000000000000000001".to_owned()),
        Just("7922816251426433759354395033.5".to_owned()),
        "[0-9]{1,3}\\.[0-9]{1,3}",
    ]
}

proptest! {
    #[test]
    fn numbers_at_their_limits_break_neither_reading_nor_asking(
        rows in prop::collection::vec((edge(), edge(), edge(), edge(), number(), number()), 1..12),
        shift in prop_oneof![Just(None), any::<i64>().prop_map(Some), (-9i64..9).prop_map(Some)],
        from_id: u64, until: i64,
    ) {
        use crate::practice::tape::Tape;
        use crate::practice::wire::{aggregate_row, event, history_row};
        let line = |(ns, id, event, time, price, quantity): (String, String, String, String, String, String)| {
            let data = format!(r#"{{"e":"trade","E":{event},"s":"A","t":{id},"p":"{price}","q":"{quantity}","T":{time},"m":true,"M":true}}"#);
            format!("{ns} {data}\n")
        };
        let Ok(session) = loaded(rows.into_iter().map(line).collect::<String>().as_bytes(), shift) else { return Ok(()) };
        let symbol = "A".parse().unwrap();
        let tape = Tape::new(&[Symbol::clone(&symbol)], 5);
        tape.append(session.prints.iter().map(|(_, print)| print.clone()));
        let whole = |_: &Trade, _: &Trade| true;
        for group in tape.groups(&symbol, Some(from_id), until, usize::MAX, whole).into_iter().chain(tape.groups(&symbol, None, i64::MAX, 9, whole)) {
            aggregate_row(&group).unwrap();
        }
        tape.history(&symbol, Some(from_id), usize::MAX).iter().for_each(|trade| drop(history_row(trade)));
        session.prints.iter().for_each(|(_, print)| drop(event(print, Some("a@trade"))));
        tape.first_id_from(&symbol, until);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes);
    }

    #[test]
    fn a_damaged_line_never_panics(at in 0..RAW.len(), byte in any::<u8>()) {
        let mut line = format!("1 {RAW}").into_bytes();
        line[at] = byte;
        let _ = parse(&line);
    }
}
