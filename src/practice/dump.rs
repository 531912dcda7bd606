//! Daily files of trades, as Binance publishes them: a zip with one CSV, and its checksum beside it.
//!
//! Source: Binance's `binance-public-data`. A file has what the tape holds of its day when it is asked for, and is made while it
//! is sent. The day may still go on, so its checksum is that of the file as it was served last.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use chrono::{NaiveDate, NaiveTime};
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use zip::ZipWriter;
use zip::result::ZipResult;
use zip::write::SimpleFileOptions;

use super::shared::Shared;
use super::wire::dump_line;
use crate::archive::checksum::Checksummed;
use crate::trade::Symbol;

const DAY_MS: i64 = 86_400_000;
/// 2025-01-01T00:00:00Z: since then files have microseconds.
const MICROSECONDS_SINCE_MS: i64 = 1_735_689_600_000;
/// Trades that are taken off the tape at once.
const PAGE: usize = 4_096;
/// Bytes of a piece that is sent, and pieces that wait for whoever is slow.
const PIECE_BYTES: usize = 64 << 10;
const PIECES: usize = 4;
/// As fast as it goes: it is thrown away soon.
const LEVEL: i64 = 1;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new().route("/dump/{name}", get(dump))
}

/// Which file, of which trades.
#[derive(Debug, Clone)]
struct Dump {
    /// Its name without what is behind the point.
    name: String,
    symbol: Symbol,
    begin_ms: i64,
    /// The first and the last id.
    ids: (u64, u64),
}

async fn dump(State(exchange): State<Arc<Shared>>, Path(asked): Path<String>) -> Response {
    let (zip, is_checksum) = asked.strip_suffix(".CHECKSUM").map_or((&*asked, false), |zip| (zip, true));
    let Some(dump) = find(&exchange, zip, is_checksum) else { return StatusCode::NOT_FOUND.into_response() };
    if is_checksum {
        let name = zip.to_owned();
        let summed = spawn_blocking(move || {
            let mut out = Checksummed::new(io::sink());
            write(&exchange, &dump, &mut out, &AtomicBool::new(false)).map(|()| out.end().1)
        });
        return match summed.await {
            Ok(Ok(sha256)) => format!("{sha256}  {name}\n").into_response(),
            _ => StatusCode::NOT_FOUND.into_response(),
        };
    }
    let (to, from) = mpsc::channel(PIECES);
    let has_gone = Arc::new(AtomicBool::new(false));
    spawn_blocking(move || {
        let sending = Sending { to: to.clone(), has_gone: Arc::clone(&has_gone) };
        let mut out = BufWriter::with_capacity(PIECE_BYTES, sending);
        let written = write(&exchange, &dump, &mut out, &has_gone);
        if let Err(error) = written.map_err(io::Error::from).and_then(|()| out.flush()) {
            // Without its end nobody takes it for the whole.
            let _ = to.blocking_send(Err(error));
        }
    });
    let pieces = stream::unfold(from, |mut from| async move { Some((from.recv().await?, from)) });
    ([(header::CONTENT_TYPE, "application/zip")], Body::from_stream(pieces)).into_response()
}

/// What is asked for, if there are trades of it.
fn find(exchange: &Shared, zip: &str, is_as_before: bool) -> Option<Dump> {
    let name = zip.strip_suffix(".zip")?;
    let (symbol, date) = name.split_once("-trades-")?;
    let symbol: Symbol = symbol.parse().ok().filter(|read: &Symbol| read.as_str() == symbol)?;
    let date = NaiveDate::parse_from_str(date, "%Y-%m-%d").ok().filter(|read| read.to_string() == date)?;
    let begin_ms = date.and_time(NaiveTime::MIN).and_utc().timestamp_millis();
    let now = exchange.tape.ids_between(&symbol, begin_ms, begin_ms.saturating_add(DAY_MS))?;
    let mut dumps = exchange.dumps.lock().unwrap_or_else(PoisonError::into_inner);
    // What the tape has dropped since cannot be served again.
    let before = dumps.get(name).copied().filter(|(first, _)| is_as_before && *first >= now.0);
    let ids = before.unwrap_or(now);
    dumps.insert(name.to_owned(), ids);
    Some(Dump { name: name.to_owned(), symbol, begin_ms, ids })
}

/// Writes the file, a page of the tape at a time, unless who asked `has_gone`; nobody is to have it if the tape does not have
/// all of it any more.
fn write(exchange: &Shared, dump: &Dump, out: &mut impl Write, has_gone: &AtomicBool) -> ZipResult<()> {
    let (first, last) = dump.ids;
    let has_microseconds = dump.begin_ms >= MICROSECONDS_SINCE_MS;
    let mut zip = ZipWriter::new_stream(out);
    let options = SimpleFileOptions::default().compression_level(Some(LEVEL));
    zip.start_file(format!("{}.csv", dump.name), options)?;
    let mut next = first;
    while next <= last && !has_gone.load(Ordering::Relaxed) {
        let mut page = exchange.tape.history(&dump.symbol, Some(next), PAGE);
        page.retain(|trade| trade.id.get() <= last);
        let oldest = exchange.tape.history(&dump.symbol, Some(0), 1);
        let is_there = oldest.first().is_some_and(|oldest| oldest.id.get() <= next);
        let Some(newest) = page.last().filter(|_| is_there) else {
            has_gone.store(true, Ordering::Relaxed);
            zip.finish()?;
            return Err(io::Error::other("the tape no longer has it").into());
        };
        next = newest.id.get() + 1;
        page.iter().try_for_each(|trade| zip.write_all(dump_line(trade, has_microseconds).as_bytes()))?;
    }
    zip.finish()?;
    Ok(())
}

/// Sends what is written, in pieces.
struct Sending {
    to: mpsc::Sender<io::Result<Bytes>>,
    has_gone: Arc<AtomicBool>,
}

impl Write for Sending {
    /// Takes all of it also when nobody wants it any more: who writes a zip and cannot end it complains aloud.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.has_gone.load(Ordering::Relaxed) && self.to.blocking_send(Ok(Bytes::copy_from_slice(bytes))).is_err() {
            self.has_gone.store(true, Ordering::Relaxed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
