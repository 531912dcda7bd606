//! Files that are damaged, or none.

use std::fs;

use tickflux::store::sqlite::Sqlite;
use tickflux::store::{Attempt, Store};

use crate::kit::*;
use crate::support::{exchange, now, runtime, tickflux};

#[test]
fn what_is_damaged_ends_with_1_and_what_is_no_daily_file_with_2_each_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (begin, from, until) = day();
    let all = trades(3_000, from, until);
    let store = Sqlite::create(&folder.join("trades.db"), exchange("binance"), now).unwrap();
    runtime().block_on(store.write(&all, Attempt::default())).unwrap();
    let lines: Vec<_> = all.iter().map(line).collect();
    let name = dump(folder, &date(begin), &lines);
    let csv_name = name.replace(".zip", ".csv");
    let whole = fs::read(folder.join(&name)).unwrap();
    let refused = |args: &[&str], code: i32, words: &str| {
        let output = tickflux(folder, &[&["verify", "--store", "sqlite:trades.db"], args].concat());
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{words}: {stderr}");
        assert!(stderr.contains(words) && stderr.lines().count() == 1, "{words}: {stderr}");
    };

    // Its bytes.
    let with = |bytes: &[u8], code, words: &str| {
        fs::write(folder.join(&name), bytes).unwrap();
        refused(&["--dump", &name], code, words);
    };
    with(&whole[..whole.len() - 30], 1, "it is cut off");
    with(&whole[..whole.len() / 2], 1, "it is cut off");
    let mut flipped = whole.clone();
    // Its checksum as the zip lists it, and a bit of its bytes, of which anything may come.
    let listed = whole.windows(4).rposition(|bytes| bytes == b"PK\x01\x02").unwrap();
    flipped[listed + 16] ^= 1;
    with(&flipped, 1, "it is damaged behind line 3000: ");
    flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0x10;
    with(&flipped, 1, "line ");
    with(b"", 2, "it is no zip");
    with(lines.join("\n").as_bytes(), 2, "it is no zip");
    with(b"<html>404 Not Found</html>", 2, "it is no zip");

    // What is in it.
    let with = |files: &[(&str, &[u8])], code, words: &str| {
        zip(&folder.join(&name), files);
        refused(&["--dump", &name], code, words);
    };
    let good = lines.join("\n");
    with(&[], 2, "it has 0 files in it");
    with(&[(&csv_name, good.as_bytes()), ("notes.txt", b"x")], 2, "it has 2 files in it");
    with(&[("../../etc/trades.csv", good.as_bytes())], 2, "what is in it is called ../../etc/trades.csv");
    with(&[(&format!("folder/{csv_name}"), good.as_bytes())], 2, "what is in it is called folder/");
    with(&[(&csv_name.replace("BTC", "ETH"), good.as_bytes())], 2, "and what is in it ETHUSDT-trades-");
    with(&[(&csv_name, b"")], 2, "it has no trade");
    with(
        &[(&csv_name, b"id,price,qty,quote_qty,time,is_buyer_maker\n1,2,3,4,5,true")],
        2,
        "its first line is id,price",
    );
    with(&[(&csv_name, b"1,2,3,4,5,6,true,true\n")], 2, "its first line is 1,2,3,4");
    let wide: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    with(&[(&csv_name, &wide)], 2, "it is not written in UTF-8");
    let endless = [lines[0].as_bytes(), b"\n", &vec![b'1'; 40 << 20]].concat();
    with(&[(&csv_name, &endless)], 1, "line 2 is longer than a trade is");
    let in_ms = lines.iter().map(|line| {
        let mut columns: Vec<_> = line.split(',').collect();
        columns[4] = &columns[4][..13];
        columns.join(",")
    });
    let in_ms: Vec<_> = in_ms.collect();
    with(
        &[(&csv_name, in_ms.join("\n").as_bytes())],
        1,
        "line 1 has its time in milliseconds, and a file of this day has microseconds",
    );

    // What is said of it.
    fs::write(folder.join(&name), &whole).unwrap();
    let beside = format!("{name}.CHECKSUM");
    fs::write(folder.join(&beside), format!("{}  {name}\n", "0".repeat(64))).unwrap();
    refused(&["--dump", &name], 1, &format!("and {beside} says 000000"));
    fs::rename(folder.join(&beside), folder.join("sum")).unwrap();
    refused(&["--dump", &name, "--checksum", "sum"], 1, "and sum says 000000");
    fs::write(folder.join("sum"), format!("{}  OTHER-trades-2026-01-01.zip\n", "0".repeat(64))).unwrap();
    refused(&["--dump", &name, "--checksum", "sum"], 2, "it speaks of OTHER-trades-2026-01-01.zip, and not of BTCUSDT");
    fs::write(folder.join("sum"), "<html>").unwrap();
    refused(&["--dump", &name, "--checksum", "sum"], 2, "it is no SHA-256 with a name behind it: <html>");
    refused(&["--dump", &name, "--checksum", "absent"], 2, "cannot use absent: No such file");

    // What is asked.
    refused(&["--dump", "absent.zip"], 2, "cannot use absent.zip: No such file");
    refused(&["--dump", "."], 2, "cannot use .: it is no daily file of trades: it is no file");
    refused(&["ETHUSDT", "--dump", &name], 2, "it has trades of BTCUSDT, and not of ETHUSDT");
    refused(&["BTCUSDT", "ETHUSDT", "--dump", &name], 2, "a daily file is that of one symbol");
    refused(&["--dump", &name, "--since", "1h"], 2, "cannot be used with");
    refused(&["--checksum", "sum"], 2, "--dump <FILE>");
    refused(&["--dump", &name, "--store", "sqlite:absent.db"], 2, "cannot be used multiple times");
    let output = tickflux(folder, &["verify", "--dump", &name, "--store", "sqlite:absent.db"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

#[test]
fn a_file_that_is_called_otherwise_says_itself_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (begin, from, until) = day();
    let all = trades(30, from, until);
    let store = Sqlite::create(&folder.path().join("trades.db"), exchange("binance"), now).unwrap();
    runtime().block_on(store.write(&all, Attempt::default())).unwrap();
    let name = dump(folder.path(), &date(begin), &all.iter().map(line).collect::<Vec<_>>());
    fs::rename(folder.path().join(name), folder.path().join("yesterday")).unwrap();
    let verified = verify(folder.path(), "sqlite:trades.db", "yesterday", &[]);
    assert_eq!((verified.code, verified.count("agree")), (Some(0), 30), "{verified:?}");
}
