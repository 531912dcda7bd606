//! Telling what happened: the log, the metrics, `/healthz`, the status line, the dead letters.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::dead_letters::DeadLetters;
use crate::capture::exchange_clock::Moment;
use crate::capture::input::DeadLetter;
use crate::capture::machine::Capture;
use crate::capture::settings::Progress;
use crate::telemetry::health::Health;
use crate::telemetry::{Event, Log, metrics};
use crate::text::Excerpt;

/// Everyone who is told.
#[derive(Debug)]
pub struct Telling {
    health: Arc<Health>,
    progress: watch::Sender<Progress>,
    dead_letters: DeadLetters,
    log: Log,
    /// What was not told yet, because the checks of the start may end in one line of their own.
    held_back: Option<Vec<Event>>,
    next_state: Instant,
}

/// How often the state is published.
const STATE_EVERY: std::time::Duration = std::time::Duration::from_millis(500);

impl Telling {
    /// Dead letters go below `folder`.
    pub fn new(health: Arc<Health>, progress: watch::Sender<Progress>, folder: &Path, now: Instant) -> Self {
        let dead_letters = DeadLetters::new(folder);
        Self { health, progress, dead_letters, log: Log::default(), held_back: Some(Vec::new()), next_state: now }
    }

    /// Tells everything that is new.
    pub fn tell(&mut self, capture: &mut Capture, now: Moment) {
        for event in capture.journal().take() {
            metrics::count(&event);
            match &mut self.held_back {
                Some(held_back) => held_back.push(event),
                None => self.log.write(&event),
            }
        }
        for (part, why) in capture.condition().take_changes() {
            match why {
                Some(why) => self.health.failing(part, why.as_str()),
                None => self.health.working(part),
            }
        }
        if now.at >= self.next_state {
            self.next_state = now.at + STATE_EVERY;
            self.publish(capture, now);
        }
    }

    /// From now on events are told at once.
    pub fn begin(&mut self) {
        self.held_back.take().iter().flatten().for_each(|event| self.log.write(event));
    }

    /// Whether events are told at once.
    pub fn has_begun(&self) -> bool {
        self.held_back.is_none()
    }

    /// Keeps a dead letter.
    pub fn keep(&self, letter: &DeadLetter, capture: &mut Capture) {
        let kept = match letter {
            DeadLetter::Message(text, why) => self.dead_letters.keep_message(why.as_str(), text),
            DeadLetter::Line(text, why) => self.dead_letters.keep_line(why.as_str(), text),
        };
        if let Err(error) = kept {
            capture.journal().note(Event::DeadLetterLost(Excerpt::of(&error.to_string())));
        }
    }

    fn publish(&self, capture: &mut Capture, now: Moment) {
        metrics::publish(capture.state(now), &self.health, capture.journal().tally());
        for (symbol, id) in capture.newest_ids() {
            metrics::publish_newest(symbol, id);
        }
        // Nobody may be looking.
        let _ = self.progress.send(capture.progress());
    }
}
