//! Draws a model on a frame of any size.

use indicatif::DecimalBytes;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Paragraph, Sparkline, SparklineBar, Wrap};

use super::columns::{Column, GAP, fitting};
use super::history::STEP;
use super::metrics::{Answers, Latency, Metrics};
use super::model::{CaptureSide, Model, Series, State, StoreSide, Trouble};
use crate::text::short_decimal;
use crate::trade::TradeTime;

/// Lines of a series, at most, where there is room.
const SERIES_LINES_MAX: u16 = 6;
/// Lines of why somebody does not answer, at most.
const WHY_LINES_MAX: u16 = 3;
/// Reasons why a capture is not well, at most.
const REASONS_MAX: usize = 3;
/// Heights that a block of the line of prices can have in one line of the screen.
const EIGHTHS: u64 = 8;

/// The colors; none where nobody wants any.
#[derive(Debug, Clone, Copy)]
pub(super) struct Palette {
    is_colored: bool,
}

impl Palette {
    pub(super) fn new(is_colored: bool) -> Self {
        Self { is_colored }
    }

    fn color(self, color: Color) -> Style {
        if self.is_colored { Style::new().fg(color) } else { Style::new() }
    }

    fn good(self) -> Style {
        self.color(Color::Green)
    }

    fn bad(self) -> Style {
        self.color(Color::Red).add_modifier(Modifier::BOLD)
    }

    fn doubtful(self) -> Style {
        self.color(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    fn quiet() -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }
}

/// Draws all of it as it is at `now`.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model, now: TradeTime, palette: Palette) {
    let mut rest = frame.area();
    let title = model.store.as_ref().map_or("a capture", |store| &store.name);
    let clock = format!("{} UTC", &now.to_string()[11..19]);
    both_ends(frame, take_top(&mut rest, 1), Line::from(format!("tickflux watch  {title}")), &clock);
    let keys = take_bottom(&mut rest, 1);
    if let Some(capture) = &model.capture {
        let lines = capture_lines(capture, model.store.is_none(), rest.width, now, palette);
        let room = if model.store.is_some() { rest.height / 2 } else { rest.height };
        let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).min(room);
        let area = if model.store.is_some() { take_bottom(&mut rest, height) } else { take_top(&mut rest, height) };
        frame.render_widget(Paragraph::new(lines), area);
    }
    let mut more = 0;
    if let Some(store) = &model.store {
        let (state, style) = state_words(store.state(now), store, now, palette);
        let is_short = state.chars().count() <= usize::from(rest.width);
        let words = Paragraph::new(state).style(style).wrap(Wrap { trim: true });
        let height = if is_short { 1 } else { WHY_LINES_MAX };
        frame.render_widget(words, take_top(&mut rest, height));
        take_top(&mut rest, 1);
        more = draw_table(frame, rest, store, model.scrolled, now, palette);
    }
    let more = if more > 0 { format!("{more} more: up, down  ") } else { String::new() };
    both_ends(frame, keys, Line::from("q ends").style(Palette::quiet()), &more);
}

/// The first lines of an area, which has them no more.
fn take_top(area: &mut Rect, lines: u16) -> Rect {
    let lines = lines.min(area.height);
    let taken = Rect { height: lines, ..*area };
    (area.y, area.height) = (area.y + lines, area.height - lines);
    taken
}

fn take_bottom(area: &mut Rect, lines: u16) -> Rect {
    area.height -= lines.min(area.height);
    Rect { y: area.bottom(), height: lines.min(area.height + lines), ..*area }
}

/// A line at the left, and words at the right where there is room for both.
fn both_ends(frame: &mut Frame<'_>, area: Rect, left: Line<'_>, right: &str) {
    let width = u16::try_from(right.chars().count()).unwrap_or(u16::MAX);
    let fits = area.width > width + GAP;
    let left_area = Rect { width: if fits { area.width - width - GAP } else { area.width }, ..area };
    frame.render_widget(left, left_area);
    if fits {
        let right_area = Rect { x: area.right() - width, width, ..area };
        frame.render_widget(Line::from(right).style(Palette::quiet()), right_area);
    }
}

fn state_words(state: State<'_>, store: &StoreSide, now: TradeTime, palette: Palette) -> (String, Style) {
    let absent: Vec<_> = store.absent().map(ToString::to_string).collect();
    let absent = || if absent.is_empty() { String::new() } else { format!(", no trade of {}", absent.join(", ")) };
    match state {
        State::Asking => ("asking the store".to_owned(), Palette::quiet()),
        State::Empty => {
            (format!("empty: no trade within 24 h{}: start a capture, and it shows here", absent()), palette.doubtful())
        }
        State::Live => (format!("live{}", absent()), palette.good()),
        State::Stalled(ms) => (format!("stalled: no new trade for {}{}", age(ms), absent()), palette.doubtful()),
        State::Gone(trouble) => (format!("the store is gone: {}", no_answer(trouble, now)), palette.bad()),
    }
}

fn no_answer(trouble: &Trouble, now: TradeTime) -> String {
    let Trouble { since, why } = trouble;
    let ago = age(now.ms() - since.ms());
    format!("no answer since {} UTC ({ago}), still asking: {why}", &since.to_string()[11..19])
}

/// Draws the series; gives how many there was no room for.
fn draw_table(
    frame: &mut Frame<'_>,
    mut area: Rect,
    store: &StoreSide,
    scrolled: usize,
    now: TradeTime,
    palette: Palette,
) -> usize {
    let series: Vec<_> = store.series.values().skip(scrolled).collect();
    if series.is_empty() || area.height < 2 {
        return series.len() + store.more;
    }
    let head = take_top(&mut area, 1);
    let count = u16::try_from(series.len()).unwrap_or(u16::MAX);
    let lines = (area.height / count).clamp(1, SERIES_LINES_MAX);
    let shown = series.iter().take(usize::from(area.height / lines));
    let rows: Vec<_> = shown.map(|series| Row::new(series, now, palette)).collect();
    let names = store.series.keys().map(|(exchange, _)| exchange);
    let has_exchanges = names.clone().zip(names.skip(1)).any(|(one, next)| one != next);
    let wanted = |column: Column| {
        let widest = rows.iter().map(|row| row.cell(column).0.chars().count()).max().unwrap_or(0);
        u16::try_from(widest.max(column.heading().len())).unwrap_or(u16::MAX)
    };
    let columns = fitting(area.width, has_exchanges, wanted);
    draw_headings(frame, head, &columns);
    let is_gone = matches!(store.state(now), State::Gone(_));
    for row in &rows {
        let place = take_top(&mut area, lines);
        for (column, part) in parts(place, &columns) {
            if column == Column::Line {
                // A line of the screen between two series where there are three.
                let height = if lines > 2 { lines - 1 } else { lines };
                draw_line(frame, Rect { height, ..part }, row.series, now);
                continue;
            }
            let (text, mut style) = row.cell(column);
            if is_gone {
                style = Palette::quiet();
            }
            let line = Line::from(Span::styled(text, style));
            let line = if column.is_number() { line.right_aligned() } else { line };
            frame.render_widget(line, Rect { height: part.height.min(1), ..part });
        }
    }
    series.len() - rows.len() + store.more
}

fn parts(row: Rect, columns: &[(Column, u16)]) -> Vec<(Column, Rect)> {
    let mut x = row.x;
    let part = |(column, width): &(Column, u16)| {
        let part = Rect { x, width: *width, ..row };
        x += width + GAP;
        (*column, part)
    };
    columns.iter().map(part).collect()
}

fn draw_headings(frame: &mut Frame<'_>, row: Rect, columns: &[(Column, u16)]) {
    for (column, part) in parts(row, columns) {
        let text = if column == Column::Line {
            format!("last {}", age(i64::try_from(STEP.as_millis()).unwrap_or(0) * i64::from(cells(part))))
        } else {
            column.heading().to_owned()
        };
        let line = Line::from(text).style(Palette::quiet());
        frame.render_widget(if column.is_number() { line.right_aligned() } else { line }, part);
    }
}

/// Steps that an area shows.
fn cells(area: Rect) -> u16 {
    area.width.min(super::history::STEPS_MAX as u16)
}

fn draw_line(frame: &mut Frame<'_>, area: Rect, series: &Series, now: TradeTime) {
    let prices = series.history.line(now.ms(), usize::from(cells(area)));
    let known = || prices.iter().flatten().copied();
    let (Some(low), Some(high)) = (known().reduce(f64::min), known().reduce(f64::max)) else { return };
    let heights = EIGHTHS * u64::from(area.height);
    let height = |price: f64| {
        // Something is seen of the lowest price, too; one that never changed is in the middle.
        if high > low { 1 + ((price - low) / (high - low) * (heights - 1) as f64).round() as u64 } else { heights / 2 }
    };
    let bars = prices.iter().map(|price| SparklineBar::from(price.map(height)));
    frame.render_widget(Sparkline::default().data(bars).max(heights).absent_value_symbol(" "), area);
}

/// A series in words.
struct Row<'a> {
    series: &'a Series,
    now_ms: i64,
    palette: Palette,
}

impl<'a> Row<'a> {
    fn new(series: &'a Series, now: TradeTime, palette: Palette) -> Self {
        Self { series, now_ms: now.ms(), palette }
    }

    fn cell(&self, column: Column) -> (String, Style) {
        let Series { newest, history, missing } = self.series;
        let plain = |text: String| (text, Style::new());
        let price = newest.trade.price.to_string();
        let number = price.parse::<f64>().unwrap_or(f64::NAN);
        let change = history.minute_ago(self.now_ms).map(|before| number - before);
        match column {
            Column::Exchange => plain(newest.exchange.to_string()),
            Column::Symbol => (newest.trade.symbol.to_string(), Style::new().add_modifier(Modifier::BOLD)),
            Column::Price => {
                let (arrow, style) = match change {
                    Some(change) if change > 0.0 => ("▲", self.palette.good()),
                    Some(change) if change < 0.0 => ("▼", self.palette.color(Color::Red)),
                    _ => (" ", Style::new()),
                };
                (format!("{arrow} {}", short_decimal(&price)), style.add_modifier(Modifier::BOLD))
            }
            Column::Change => {
                plain(change.map_or_else(unknown, |change| format!("{:+.2}%", change / (number - change) * 100.0)))
            }
            Column::Rate => plain(rate(history.trades_per_second(self.now_ms))),
            Column::Age => {
                let ms = self.now_ms - newest.trade.time.ms();
                let is_old = ms > super::model::STALLED_AFTER_MS;
                (age(ms), if is_old { self.palette.doubtful() } else { Style::new() })
            }
            Column::Spread => {
                let digits = short_decimal(&price).split_once('.').map_or(0, |(_, digits)| digits.len());
                plain(history.spread(self.now_ms).map_or_else(unknown, |spread| format!("{spread:.digits$}")))
            }
            Column::Missing => {
                let style = if missing.is_some_and(|ids| ids > 0) { self.palette.bad() } else { Style::new() };
                (missing.map_or_else(unknown, |ids| ids.to_string()), style)
            }
            Column::Line => plain(String::new()),
        }
    }
}

fn unknown() -> String {
    "-".to_owned()
}

fn rate(per_second: f64) -> String {
    if per_second < 10.0 { format!("{per_second:.1}") } else { format!("{per_second:.0}") }
}

/// How long ago, in units that change once a second at most, but below ten seconds.
fn age(ms: i64) -> String {
    let (sign, ms) = (if ms <= -100 { "-" } else { "" }, ms.unsigned_abs());
    let (s, m, h) = (ms / 1_000, ms / 60_000, ms / 3_600_000);
    match (h, m) {
        (0, 0) if s < 10 => format!("{sign}{s}.{}s", ms % 1_000 / 100),
        (0, 0) => format!("{sign}{s}s"),
        (0, _) if s % 60 == 0 => format!("{sign}{m}m"),
        (0, _) => format!("{sign}{m}m {}s", s % 60),
        _ => format!("{sign}{h}h {}m", m % 60),
    }
}

fn capture_lines(capture: &CaptureSide, is_alone: bool, width: u16, now: TradeTime, palette: Palette) -> Vec<Line<'_>> {
    let name = &capture.name;
    let mut lines = vec![Line::default()];
    match (&capture.trouble, capture.answers.newest()) {
        (Some(trouble), _) => {
            lines.push(Line::styled(format!("the capture at {name} is gone"), palette.bad()));
            lines.push(Line::styled(format!("  {}", no_answer(trouble, now)), palette.bad()));
        }
        (None, None) => lines.push(Line::styled(format!("asking the capture at {name}"), Palette::quiet())),
        (None, Some(_)) if capture.reasons.is_empty() => {
            lines.push(Line::styled(format!("the capture at {name} is well"), palette.good()));
        }
        (None, Some(_)) => {
            lines.push(Line::styled(format!("the capture at {name} is not well"), palette.bad()));
            let reasons = capture.reasons.iter().take(REASONS_MAX);
            lines.extend(reasons.map(|why| Line::styled(format!("  {why}"), palette.bad())));
        }
    }
    if let Some(metrics) = capture.answers.newest() {
        lines.push(fitting_words(&counts(metrics, &capture.answers), width));
        if is_alone {
            let ids = metrics.newest.iter().map(|(symbol, id)| {
                let rate = capture.answers.ids_per_second(symbol).map_or_else(unknown, rate);
                Line::from(format!("{symbol}  {rate} trades/s  newest id {id}"))
            });
            lines.extend(ids);
        }
    }
    lines
}

/// What a capture counted, the most important first.
fn counts(metrics: &Metrics, answers: &Answers) -> Vec<String> {
    let latency = |share| match answers.latency(share) {
        Some(Latency::Ms(ms)) => format!("{ms:.1} ms"),
        Some(Latency::AboveMs(ms)) => format!("over {ms:.0} ms"),
        None => unknown(),
    };
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    let Metrics { waiting, outbox_bytes, open_holes, connections, .. } = metrics;
    vec![
        format!("outbox {waiting} waiting, {}", DecimalBytes(*outbox_bytes)),
        format!("latency p50 {} p99 {}", latency(0.5), latency(0.99)),
        format!("{open_holes} open hole{}", plural(*open_holes)),
        format!("{} trades/s stored", answers.trades_per_second().map_or_else(unknown, rate)),
        format!("{connections} connection{}", plural(*connections)),
    ]
}

/// As many of the words as fit, in their order.
fn fitting_words(words: &[String], width: u16) -> Line<'static> {
    let mut line = String::new();
    for word in words {
        let gap = if line.is_empty() { "" } else { "  " };
        if line.chars().count() + gap.len() + word.chars().count() > usize::from(width) {
            break;
        }
        line.push_str(gap);
        line.push_str(word);
    }
    Line::from(line)
}

#[cfg(test)]
mod tests;
