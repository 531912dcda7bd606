//! `tickflux archive --from-dump`: the hours of a past day, out of the daily file that the exchange publishes.

use std::path::Path;
use std::sync::Arc;

use super::{ArchiveArgs, HourRow, ON_THEIR_WAY_MS, cannot_use, tell};
use crate::archive::Hour;
use crate::archive::dump::{Day, FromDumpError, HourOfDump, seal, survey};
use crate::archive::folder::Folder;
use crate::archive::manifest::{DumpSource, Minutes, Source};
use crate::archive::plan::{Decision, decide_by_dump};
use crate::archive::seal::Sealing;
use crate::cli::drawing::Drawing;
use crate::cli::dump::{OpenDump, Reached, draw, failed, open};
use crate::cli::settings::{default_exchange, now};
use crate::cli::{Answer, Failure};
use crate::text::Excerpt;

pub(super) fn run(path: &Path, args: &ArchiveArgs) -> Result<Answer, Failure> {
    let OpenDump { mut file, sha256, .. } = open(path, args.checksum.as_deref(), None)?;
    let exchange = args.exchange.clone().map_or_else(default_exchange, Ok)?;
    let (name, asked) = (file.name().clone(), now());
    let series = (exchange, name.symbol.clone());
    // Under the name that it was published with, whatever it is called now.
    let source = Source::Dump(DumpSource { file: name.file("zip"), sha256 });
    let folder = Folder::open_to_seal(args.root()).map_err(|error| cannot_use(args.root(), &error))?;
    let of_error = |error: FromDumpError| match error {
        FromDumpError::Dump(error) => failed(path, &error),
        error @ (FromDumpError::Line { .. } | FromDumpError::Holes) => {
            Failure::No(format!("{}: {error}", Excerpt::of(&path.display().to_string())))
        }
        other => Failure::Unusable(other.to_string()),
    };
    let reached = Arc::new(Reached::default());
    // It is read once more where something is sealed.
    let drawing = draw(Arc::clone(&reached), file.bytes());
    let on_read = |bytes, lines| reached.set(bytes, lines);
    let day = Day { series: &series, source: &source, is_over: asked >= name.day.end() };
    let surveyed = survey(&mut file, &folder, day, &on_read);
    let sealed = surveyed.and_then(|hours| {
        let running = Hour::of(asked.earlier_by(ON_THEIR_WAY_MS));
        let hours = hours.into_iter().filter(|hour| hour.hour < running);
        let (mut rows, mut sealings, mut unchanged) = (Vec::new(), Vec::new(), 0_u64);
        for HourOfDump { hour, facts, sealed } in hours {
            let sealed = sealed.as_ref().map(|(manifest, sameness)| (manifest, *sameness));
            match decide_by_dump(&facts, sealed, args.seal_with_holes) {
                Decision::Unchanged => unchanged += 1,
                Decision::Leave(why) => rows.push(HourRow::left(&series, hour, &facts, why)),
                Decision::Seal { revision, replaces } => {
                    sealings.push(Sealing {
                        hour,
                        facts,
                        revision,
                        replaces,
                        minutes: Minutes::default(),
                        source: source.clone(),
                    });
                }
            }
        }
        let hours: Vec<_> = sealings.iter().map(|sealing| (sealing.hour, sealing.replaces.is_some())).collect();
        let manifests = seal(&mut file, &folder, &series, sealings, &on_read)?;
        for ((hour, is_again), manifest) in hours.into_iter().zip(&manifests) {
            let state = if is_again { "sealed again" } else { "sealed" };
            rows.push(HourRow::sealed(&series, hour, manifest, state));
        }
        rows.sort_by_key(|row| row.hour);
        Ok((rows, unchanged))
    });
    Drawing::end(drawing);
    let (rows, unchanged) = sealed.map_err(of_error)?;
    tell(&rows, unchanged, args)
}
