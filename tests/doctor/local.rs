//! Set-ups whose folder or port is at fault.

use std::net::TcpListener;

use crate::World;
use crate::support::influxd::free_port;
use crate::support::process::{Capture, wait_until};
use crate::support::scene::outbox_in;
use crate::support::{server, tickflux};
use crate::trace::{assert_same, snapshot};

/// Rows of a table of the outbox of a capture in the world's folder; none before there is one.
pub(crate) fn outbox_rows(world: &World, table: &str) -> u64 {
    let Some(path) = outbox_in(world.path()) else { return 0 };
    let Ok(connection) = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)
    else {
        return 0;
    };
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap_or_default()
}

#[test]
fn an_outbox_with_what_was_left_for_another_store() {
    let world = World::new(181);
    let (store, stream, rest) = (format!("http://127.0.0.1:{}", free_port()), world.stream(), world.rest());
    let args = ["--store", &store, "--stream-url", &stream, "--rest-url", &rest];
    let capture = Capture::start(world.path(), &args);
    wait_until("the outbox fills", || outbox_rows(&world, "batch") > 5);
    capture.kill();
    let before = snapshot(world.path());
    let told = world.doctor(&["--store", "sqlite:trades.db"]);
    let found = [" trades wait in tickflux-outbox/", "for another store", &store.replace("127.0.0.1", "localhost")];
    told.assert_only("outbox", "warn", &found, &["start a capture into that store", "remove the file"]);
    // To the store that it is of it is no left-over.
    let told = world.doctor(&["--store", &store]);
    assert!(told.of("outbox").found.contains("trades wait for the next capture"), "{told}");
    // A killed capture's log and its index lie there as they did.
    assert_same(world.path(), &before);
}

#[test]
fn an_outbox_that_cannot_be_a_folder() {
    let world = World::new(182);
    std::fs::write(world.path().join("file"), "x").unwrap();
    let told = world.doctor(&["--outbox", "file/below"]);
    told.assert_only("outbox-disk", "fail", &["file is no folder"], &["--outbox"]);
    let told = world.doctor(&["--outbox-limit", "1000TB"]);
    told.assert_only("outbox-disk", "warn", &["less than the 1.00 PB"], &["free space", "--outbox"]);
}

#[test]
fn a_port_that_a_stranger_has_and_one_that_a_capture_has() {
    let world = World::new(183);
    for status in ["404 Not Found", "503 Service Unavailable", "200 OK"] {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nnginx");
        let stranger = server::answering(move |_| answer.clone());
        let told = world.doctor(&["--metrics-listen", &stranger.to_string()]);
        told.assert_only("metrics", "fail", &["another program listens", &status[..3], "nginx"], &["--metrics-listen"]);
    }
    // One that takes connections and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let told = world.doctor(&["--metrics-listen", &mute.local_addr().unwrap().to_string()]);
    told.assert_only("metrics", "fail", &["another program listens"], &["--metrics-listen"]);
    // An address of nobody here.
    let told = world.doctor(&["--metrics-listen", "192.0.2.1:9184"]);
    told.assert_only("metrics", "fail", &["cannot be listened on"], &["--metrics-listen"]);

    let (listen, stream, rest) = (format!("127.0.0.1:{}", free_port()), world.stream(), world.rest());
    let capture =
        Capture::start(world.path(), &["--metrics-listen", &listen, "--stream-url", &stream, "--rest-url", &rest]);
    wait_until("it is well", || tickflux(world.path(), &["health", "--metrics-listen", &listen]).status.success());
    wait_until("there is an outbox", || outbox_rows(&world, "target") == 1);
    let told = world.doctor(&["--metrics-listen", &listen]);
    told.assert_good();
    assert!(told.of("metrics").found.contains("a capture answers"), "{told}");
    assert!(told.of("outbox").found.contains("a capture is using"), "{told}");
    assert_eq!(capture.stop().status.code(), Some(0));
}
