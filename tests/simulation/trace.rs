//! What happened, as a hash that is the same wherever a seed runs, and in words for whoever looks at one seed.

use tickflux::capture::input::Input;

use crate::time::Time;

/// FNV-1a of every step.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    pub steps: u64,
    /// The words, if they are wanted.
    words: Option<Vec<String>>,
}

impl Trace {
    pub fn new(in_words: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, steps: 0, words: in_words.then(Vec::new) }
    }

    /// A step: when, whose, of which kind, and the numbers that it has.
    pub fn step(&mut self, now: Time, node: usize, kind: &str, numbers: &[u64]) {
        self.steps += 1;
        self.add(now.0);
        self.add(node as u64);
        kind.bytes().for_each(|byte| self.add_byte(byte));
        numbers.iter().for_each(|number| self.add(*number));
        if let Some(words) = &mut self.words {
            let seconds = now.since_begin().as_secs_f64();
            words.push(format!("{seconds:>13.6} capture {node}: {kind} {numbers:?}"));
        }
    }

    /// Words that are no step, for people only.
    pub fn say(&mut self, now: Time, text: impl FnOnce() -> String) {
        if let Some(words) = &mut self.words {
            words.push(format!("{:>13.6} {}", now.since_begin().as_secs_f64(), text()));
        }
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn words(&self) -> &[String] {
        self.words.as_deref().unwrap_or_default()
    }

    fn add(&mut self, number: u64) {
        number.to_le_bytes().into_iter().for_each(|byte| self.add_byte(byte));
    }

    fn add_byte(&mut self, byte: u8) {
        self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
}

/// The name of an input.
pub fn kind(input: &Input) -> &'static str {
    match input {
        Input::Tick => "tick",
        Input::StreamOpened(_) => "opened",
        Input::StreamMessages(..) => "messages",
        Input::StreamClosed(..) => "closed",
        Input::StreamsEnded => "streams ended",
        Input::History(..) => "history",
        Input::SymbolsChecked(_) => "symbols checked",
        Input::StoreChecked(_) => "store checked",
        Input::OutboxOpened(_) => "outbox opened",
        Input::Disk(_) => "disk",
        Input::Written(..) => "written",
        Input::Audited(..) => "audited",
        Input::Candles(..) => "candles",
        Input::MinutesRead(_) => "minutes read",
        Input::MinutesKept(..) => "minutes kept",
        Input::MinutesKnown(_) => "minutes known",
        Input::ChoreFailed(_) => "chore failed",
        Input::Stop => "stop",
    }
}
