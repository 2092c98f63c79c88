//! Plots as SVG whose colours are those of the page: light or dark, as the reader's browser has it.

use std::ops::Range;

use plotters::prelude::*;

/// One line of a plot.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// What an axis says, and how it is spaced.
pub(crate) struct Axis {
    pub(crate) name: &'static str,
    pub(crate) label: fn(f64) -> String,
    pub(crate) spacing: Spacing,
}

#[derive(Clone, Copy)]
pub(crate) enum Spacing {
    /// By powers of this.
    Powers(f64),
    /// So many positions, 0 first.
    Positions(usize),
}

pub(crate) struct Plot {
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) lines: Vec<Line>,
    /// Drawn as rings.
    pub(crate) marks: Vec<(f64, f64)>,
}

/// As many as the palette of the page has.
pub(crate) const SERIES: usize = 9;

/// Colours that stand for names of the page's palette, and are replaced by them: no plot has them otherwise.
const TEXT: RGBColor = RGBColor(1, 2, 3);
const GRID: RGBColor = RGBColor(1, 2, 4);

fn series(nth: usize) -> RGBColor {
    RGBColor(1, 3, (nth % SERIES) as u8)
}

fn with_palette(mut svg: String) -> String {
    let mut replace = |RGBColor(r, g, b), name: &str| {
        svg = svg.replace(&format!("\"#{r:02X}{g:02X}{b:02X}\""), &format!("\"var(--{name})\""));
    };
    replace(TEXT, "text");
    replace(GRID, "grid");
    for nth in 0..SERIES {
        replace(series(nth), &format!("series-{nth}"));
    }
    svg
}

impl Axis {
    /// Where a value lies, in steps.
    fn at(&self, value: f64) -> f64 {
        match self.spacing {
            Spacing::Powers(base) => value.ln() / base.ln(),
            Spacing::Positions(_) => value,
        }
    }

    /// What is written at a step; nothing between two.
    fn label_at(&self, step: f64) -> String {
        match self.spacing {
            _ if (step - step.round()).abs() > 1e-6 => String::new(),
            Spacing::Powers(base) => (self.label)(base.powf(step.round())),
            Spacing::Positions(_) => (self.label)(step.round()),
        }
    }

    /// From a step below the least value to one above the greatest.
    fn steps(&self, values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
        if let Spacing::Positions(n) = self.spacing {
            return -0.2..n as f64 - 0.8;
        }
        let steps = values.map(|value| self.at(value)).filter(|step| step.is_finite());
        let (least, most) = (steps.clone().fold(f64::INFINITY, f64::min), steps.fold(f64::NEG_INFINITY, f64::max));
        if least > most {
            return 0.0..1.0;
        }
        let low = least.floor();
        low..most.ceil().max(low + 1.0)
    }
}

impl Plot {
    /// For this many pixels; text has the same size in each.
    pub(crate) fn svg(&self, width: u32, height: u32) -> Result<String, String> {
        let mut svg = String::new();
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        self.draw(&area, width < 600).map_err(|error| error.to_string())?;
        area.present().map_err(|error| error.to_string())?;
        drop(area);
        Ok(with_palette(svg))
    }

    fn draw<'a>(&self, area: &Area<'a>, narrow: bool) -> Result<(), Error<'a>> {
        let Self { x, y, lines, marks } = self;
        let font = || ("sans-serif", 13).into_font().color(&TEXT);
        let points = || lines.iter().flat_map(|line| &line.points);
        let (xs, ys) = (x.steps(points().map(|point| point.0)), y.steps(points().map(|point| point.1)));
        let count = |steps: &Range<f64>| (steps.end - steps.start).ceil() as usize + 1;
        let (columns, rows) = (count(&xs).min(if narrow { 5 } else { 12 }), count(&ys).min(10));
        let mut chart = ChartBuilder::on(area)
            .margin(6)
            .margin_right(24)
            .x_label_area_size(46)
            .y_label_area_size(if narrow { 64 } else { 76 })
            .build_cartesian_2d(xs, ys)?;
        chart
            .configure_mesh()
            .x_desc(x.name)
            .y_desc(y.name)
            .x_labels(columns)
            .y_labels(rows)
            .x_label_formatter(&|&step| x.label_at(step))
            .y_label_formatter(&|&step| y.label_at(step))
            .label_style(font())
            .axis_desc_style(font())
            .axis_style(GRID)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .draw()?;
        let at = |&(a, b): &(f64, f64)| (x.at(a), y.at(b));
        for (nth, line) in lines.iter().enumerate() {
            let color = series(nth);
            chart.draw_series(LineSeries::new(line.points.iter().map(at), color.stroke_width(2)))?;
            if line.points.len() < 20 {
                chart.draw_series(line.points.iter().map(|point| Circle::new(at(point), 3, color.filled())))?;
            }
        }
        chart.draw_series(marks.iter().map(|mark| Circle::new(at(mark), 7, TEXT.stroke_width(2))))?;
        Ok(())
    }
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Error<'a> = DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>;

/// Where the second line, from below, comes to cost more than the first: between points, on straight lines of the logarithms.
pub(crate) fn crossover(rising: &[(f64, f64)], flat: &[(f64, f64)]) -> Option<(f64, f64)> {
    let mut before: Option<(f64, f64, f64)> = None;
    for (&(x, a), &(_, b)) in rising.iter().zip(flat) {
        let (x, ahead, y) = (x.ln(), a.ln() - b.ln(), b.ln());
        if let Some((x_0, ahead_0, y_0)) = before
            && ahead_0 <= 0.0
            && ahead > 0.0
        {
            let part = -ahead_0 / (ahead - ahead_0);
            return Some(((x_0 + part * (x - x_0)).exp(), (y_0 + part * (y - y_0)).exp()));
        }
        before = Some((x, ahead, y));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(x: Spacing, points: Vec<(f64, f64)>) -> Plot {
        let axis = |spacing| Axis { name: "an axis", label: |v| format!("<{v}>"), spacing };
        Plot {
            x: axis(x),
            y: axis(Spacing::Powers(10.0)),
            lines: vec![Line { name: "a", points }],
            marks: vec![(64.0, 20.0)],
        }
    }

    #[test]
    fn a_plot_has_the_colours_of_the_page_and_no_others() {
        for spacing in [Spacing::Powers(8.0), Spacing::Positions(3)] {
            let svg = plot(spacing, vec![(1.0, 10.0), (2.0, 2_000.0)]).svg(400, 300).unwrap();
            assert!(svg.starts_with("<svg"), "{svg}");
            assert!(svg.contains("var(--series-0)") && svg.contains("var(--text)") && svg.contains("var(--grid)"));
            assert!(!svg.contains("\"#"), "{svg}");
            assert!(svg.contains("&lt;") && !svg.contains("<1>"), "labels are escaped");
        }
    }

    #[test]
    fn nothing_to_plot_is_an_empty_plot() {
        assert!(plot(Spacing::Powers(10.0), vec![]).svg(400, 300).is_ok());
    }

    #[test]
    fn lines_cross_where_their_logarithms_do() {
        let rising = [(1.0, 1.0), (100.0, 100.0)];
        let (x, y) = crossover(&rising, &[(1.0, 10.0), (100.0, 10.0)]).unwrap();
        assert!((x - 10.0).abs() < 1e-9 && (y - 10.0).abs() < 1e-9, "{x} {y}");
        assert_eq!(crossover(&rising, &[(1.0, 1_000.0), (100.0, 1_000.0)]), None);
        assert_eq!(crossover(&rising, &[(1.0, 0.5), (100.0, 0.5)]), None);
    }
}
