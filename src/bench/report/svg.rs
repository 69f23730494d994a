//! Bars, drawn as SVG inside a page: colours are the page's, so that they follow light and dark.

use super::facts::{ratio, time};
use crate::bench::figures::{Row, YARDSTICK};

const WIDTH: f64 = 640.0;
/// Where bars begin, and how long the longest is.
const LEFT: f64 = 170.0;
const LENGTH: f64 = 330.0;
const HEIGHT: f64 = 22.0;

/// One bar for each row, from the same zero; a line shows where overlayfs ends.
pub fn bars(title: &str, rows: &[&Row]) -> String {
    let longest = rows.iter().filter_map(|row| row.max).fold(f64::MIN_POSITIVE, f64::max);
    let scaled = |secs: f64| secs / longest * LENGTH;
    let height = HEIGHT * rows.iter().map(|_| 1.0).sum::<f64>() + 8.0;
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n<title>{0}</title>\n",
        escaped(title)
    );
    let mut top = 4.0;
    for row in rows {
        let middle = top + HEIGHT / 2.0 + 4.0;
        svg += &format!(
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>\n",
            LEFT - 8.0,
            escaped(&row.system)
        );
        match (row.median, row.min, row.max) {
            (Some(median), Some(min), Some(max)) => {
                let class = class(&row.system);
                svg += &format!(
                    "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{}\" width=\"{:.1}\" height=\"{}\"/>\n",
                    top + 3.0,
                    scaled(median).max(1.0),
                    HEIGHT - 6.0
                );
                svg += &format!(
                    "<line class=\"spread\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y}\" y2=\"{y}\"/>\n",
                    LEFT + scaled(min),
                    LEFT + scaled(max),
                    y = top + HEIGHT / 2.0
                );
                let of_yardstick = row.ratio.map_or(String::new(), |r| format!(" ({})", ratio(r)));
                svg += &format!(
                    "<text x=\"{:.1}\" y=\"{middle}\">{}{of_yardstick}</text>\n",
                    LEFT + scaled(max) + 6.0,
                    time(median)
                );
            }
            _ => {
                svg +=
                    &format!("<text class=\"failed\" x=\"{LEFT}\" y=\"{middle}\">failed</text>\n")
            }
        }
        top += HEIGHT;
    }
    let yardstick = rows.iter().find(|row| row.system == YARDSTICK).and_then(|row| row.median);
    if let Some(median) = yardstick {
        svg += &format!(
            "<line class=\"yardstick\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"0\" y2=\"{height}\"/>\n",
            x = LEFT + scaled(median)
        );
    }
    svg + "</svg>\n"
}

fn class(system: &str) -> &'static str {
    match system {
        system if system.starts_with("layerfs") => "own",
        YARDSTICK => "kernel",
        "bare" => "bare",
        _ => "peer",
    }
}

/// Text as it may stand in a page.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            // No control character may stand in a page but these.
            letter if letter.is_control() && !matches!(letter, '\t' | '\n') => {
                safe.push('\u{fffd}')
            }
            letter => safe.push(letter),
        }
    }
    safe
}
