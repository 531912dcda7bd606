//! `tickflux verify --dump`: every trade of a day against the daily file that the exchange publishes.

mod rows;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use tokio::task::block_in_place;

use self::rows::{Rows, Summary};
use crate::cli::caution::{say_passed_over, say_unsealed};
use crate::cli::drawing::Drawing;
use crate::cli::dump::{OpenDump, Reached, draw, failed, open};
use crate::cli::report::{Format, print, print_one};
use crate::cli::settings::{QuestionArgs, default_exchange, now, searched};
use crate::cli::stderr::{inform, notice};
use crate::cli::{Answer, Failure};
use crate::dump::file::{DumpError, DumpFile};
use crate::store::{AnyStore, Scope, StoredTrade};
use crate::trade::{Symbol, TradeTime};
use crate::verify::dump::{Audit, Counts, Found};

/// What is nearer to the end of the retention may leave it while it is compared.
const LEAVING_MS: i64 = 60_000;

pub(super) async fn run(
    path: &Path,
    checksum: Option<&Path>,
    symbols: &[Symbol],
    question: QuestionArgs,
) -> Result<Answer, Failure> {
    if symbols.len() > 1 {
        return Err(Failure::Usage("a daily file is that of one symbol: name that one, or none".to_owned()));
    }
    let exchange = question.exchange.clone().map_or_else(default_exchange, Ok)?;
    let dump = block_in_place(|| open(path, checksum, symbols.first()))?;
    let OpenDump { mut file, is_checked, .. } = dump;
    let name = file.name().clone();
    let kind = question.kind();
    let question = QuestionArgs { exchange: Some(exchange.clone()), ..question };
    let (store, scope, printing) = question.open(vec![name.symbol.clone()])?;
    let kept_from = kind.keeps_ms().map(|keeps_ms| now().earlier_by(keeps_ms).later_by(LEAVING_MS));
    let (begin, end) = (name.day.begin(), name.day.end());
    if let Some(kept_from) = kept_from.filter(|kept_from| *kept_from >= end) {
        let searched = searched(&store, &scope);
        return Err(Failure::No(format!(
            "{searched} keeps only what was traded since {kept_from}, and nothing of {}: compare an archive",
            name.day
        )));
    }
    let from = kept_from.map_or(begin, |kept_from| kept_from.max(begin));
    let mut rows = Rows::new(&exchange, &name.symbol);
    let counts = audit(&store, &scope, &mut file, from, &mut |found| rows.add(found)).await;
    let counts = match counts {
        Ok(counts) => counts,
        Err(AuditError::Store(error)) => return Err(error.into()),
        Err(AuditError::Dump(error)) => return Err(failed(path, &error)),
    };
    let (rows, left) = rows.finish();
    print(&rows, printing)?;
    let summary = Summary::new(&exchange, &name, from, is_checked, counts);
    match printing.format {
        Format::Csv => inform(summary.words()),
        format => print_one(&summary, &summary.words(), format)?,
    }
    say_passed_over(&store, &scope, from, Some(end)).await;
    say_unsealed(&store, &scope, from, Some(end)).await?;
    if left > 0 {
        notice(format!("{left} more rows are not listed"));
    }
    if counts.compared() == 0 && counts.is_yes() {
        let searched = searched(&store, &scope);
        return Err(Failure::No(format!(
            "{searched} keeps only what was traded since {from}, and the file has nothing of then: compare an archive"
        )));
    }
    Ok(if counts.is_yes() { Answer::Done } else { Answer::No })
}

/// What stops an audit.
enum AuditError {
    Store(crate::store::StoreError),
    Dump(DumpError),
}

/// Holds each trade of the file's day against the store, from a time on; of a day that goes on only what lies between the first
/// and the last trade of the file.
async fn audit(
    store: &AnyStore,
    scope: &Scope,
    file: &mut DumpFile,
    from: TradeTime,
    on_found: &mut (dyn FnMut(Found) + Send),
) -> Result<Counts, AuditError> {
    let end = file.name().day.end();
    let is_over = now() >= end;
    let reached = Arc::new(Reached::default());
    let drawing = draw(Arc::clone(&reached), file.bytes());
    let mut lines = file.lines().map_err(AuditError::Dump)?;
    let mut next = || {
        let line = lines.next();
        reached.set(lines.bytes(), line.as_ref().ok().and_then(|line| *line).map_or(0, |line| line.number));
        line
    };
    let mut audit = block_in_place(|| Audit::begin(from, &mut next, on_found)).map_err(AuditError::Dump)?;
    let first = audit.front().filter(|_| !is_over).map(|first| (first.time, first.id));
    let mut broken = None;
    let mut take = |StoredTrade { trade, .. }: StoredTrade| {
        if first.is_some_and(|first| (trade.time, trade.id) < first) {
            return ControlFlow::Continue(());
        }
        if audit.front().is_none() && !is_over {
            return ControlFlow::Break(());
        }
        match audit.take(trade) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                broken = Some(error);
                ControlFlow::Break(())
            }
        }
    };
    let since = first.map_or(from, |(time, _)| time);
    let read = store.trades(scope, since, Some(end), &mut take).await;
    let counts = match broken {
        None => {
            read.map_err(AuditError::Store).and_then(|()| block_in_place(|| audit.finish()).map_err(AuditError::Dump))
        }
        Some(error) => Err(AuditError::Dump(error)),
    };
    Drawing::end(drawing);
    counts
}
