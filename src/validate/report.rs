//! One self-contained HTML page (figures inline as SVG), with every figure as SVG and PNG beside it.

use super::figure::Figure;
use crate::error::{Error, Result};
use crate::table::write_atomically;
use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Name of the page.
pub const PAGE: &str = "report.html";
/// Name of the folder of figures beside it.
pub const FIGURES: &str = "figures";
/// Width of PNG files over the natural width of the figure.
const PNG_SCALE: u32 = 2;

const STYLE: &str = include_str!("report.css");

/// A report under construction: sections of text, figures and tables in the order of the calls.
#[derive(Debug, Clone)]
pub struct Report {
    title: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Section { title: String, text: String },
    Figure { caption: String, figure: Figure },
    Table { caption: String, header: Vec<String>, rows: Vec<Vec<String>> },
}

impl Report {
    /// An empty report.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), parts: Vec::new() }
    }

    /// Starts a section. Blank lines separate paragraphs of the text; an empty text gives the title alone.
    pub fn section(&mut self, title: impl Into<String>, text: impl Into<String>) -> &mut Self {
        self.parts.push(Part::Section { title: title.into(), text: text.into() });
        self
    }

    /// Adds a figure. Figures with the same name get `-2`, `-3`, … in their file names.
    pub fn figure(&mut self, caption: impl Into<String>, figure: Figure) -> &mut Self {
        self.parts.push(Part::Figure { caption: caption.into(), figure });
        self
    }

    /// Adds a table of text; rows shorter than the header are filled with empty cells.
    pub fn table<S: Into<String>>(
        &mut self,
        caption: impl Into<String>,
        header: impl IntoIterator<Item = S>,
        rows: Vec<Vec<String>>,
    ) -> &mut Self {
        let header = header.into_iter().map(Into::into).collect();
        self.parts.push(Part::Table { caption: caption.into(), header, rows });
        self
    }

    /// Writes `report.html` and `figures/*.svg`, `figures/*.png` into `folder`, which is made if needed.
    /// Returns the path of the page, which is written last.
    ///
    /// # Errors
    /// When the page exists and `overwrite` is false (nothing is written then), or something cannot be
    /// written.
    pub fn write(&self, folder: &Path, overwrite: bool) -> Result<PathBuf> {
        let page = folder.join(PAGE);
        if page.exists() && !overwrite {
            return Err(Error::output(page.display().to_string())
                .found("a report")
                .expected("no such file")
                .remedy("Use --overwrite to replace it, or name another folder."));
        }
        let figures = folder.join(FIGURES);
        std::fs::create_dir_all(&figures).map_err(|error| Error::writing(&figures, error))?;
        let named = self.with_distinct_names();
        for part in &named.parts {
            if let Part::Figure { figure, .. } = part {
                figure.save_svg(&figures.join(format!("{}.svg", figure.name)))?;
                figure.save_png(&figures.join(format!("{}.png", figure.name)), PNG_SCALE * figure.width)?;
            }
        }
        write_atomically(&page, overwrite, |file| file.write_all(named.html().as_bytes()))?;
        Ok(page)
    }

    /// The report with file names that are safe and distinct.
    fn with_distinct_names(&self) -> Self {
        let mut report = self.clone();
        let mut taken = HashSet::new();
        for part in &mut report.parts {
            if let Part::Figure { figure, .. } = part {
                let base = file_name(&figure.name);
                let candidates = std::iter::once(base.clone()).chain((2..).map(|i| format!("{base}-{i}")));
                let free = candidates.into_iter().find(|name| !taken.contains(name));
                figure.name = free.unwrap_or(base);
                taken.insert(figure.name.clone());
            }
        }
        report
    }

    /// The page.
    fn html(&self) -> String {
        let title = escape(&self.title);
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
             <style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n{}",
            self.contents()
        );
        for (i, part) in self.parts.iter().enumerate() {
            html.push_str(&match part {
                Part::Section { title, text } => section_html(i, title, text),
                Part::Figure { caption, figure } => figure_html(caption, figure),
                Part::Table { caption, header, rows } => table_html(caption, header, rows),
            });
        }
        html.push_str("</main>\n</body>\n</html>\n");
        html
    }

    /// Links to the sections, when there are several.
    fn contents(&self) -> String {
        let links: Vec<String> = (self.parts.iter().enumerate())
            .filter_map(|(i, part)| match part {
                Part::Section { title, .. } => Some(format!("<a href=\"#section-{i}\">{}</a>", escape(title))),
                _ => None,
            })
            .collect();
        if links.len() < 2 { String::new() } else { format!("<nav>{}</nav>\n", links.join("\n")) }
    }
}

fn section_html(i: usize, title: &str, text: &str) -> String {
    let paragraphs = text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty());
    let text: String = paragraphs.map(|paragraph| format!("<p>{}</p>\n", escape(paragraph))).collect();
    format!("<h2 id=\"section-{i}\">{}</h2>\n{text}", escape(title))
}

fn figure_html(caption: &str, figure: &Figure) -> String {
    let name = escape(&figure.name);
    // inline, the SVG is an image to screen readers and takes the page's width
    let label = format!("<svg role=\"img\" aria-label=\"{}\"", escape(caption));
    let svg = figure.svg.replacen("<svg", &label, 1);
    format!(
        "<figure>\n{svg}<figcaption>{} <span class=\"files\"><a href=\"figures/{name}.svg\">SVG</a> \
         <a href=\"figures/{name}.png\">PNG</a></span></figcaption>\n</figure>\n",
        escape(caption)
    )
}

fn table_html(caption: &str, header: &[String], rows: &[Vec<String>]) -> String {
    let n_columns = rows.iter().map(Vec::len).chain([header.len()]).max().unwrap_or(0);
    let class: Vec<&str> = (0..n_columns).map(|column| if is_text(column, rows) { " class=\"text\"" } else { "" }).collect();
    let line = |tag: &str, cells: &[String]| {
        let filled = (0..n_columns).map(|column| (class[column], cells.get(column).map_or("", String::as_str)));
        let cells: String = filled.map(|(class, cell)| format!("<{tag}{class}>{}</{tag}>", escape(cell))).collect();
        format!("<tr>{cells}</tr>")
    };
    let head = line("th", header);
    let body: String = rows.iter().map(|row| line("td", row) + "\n").collect();
    format!(
        "<div class=\"table\">\n<table>\n<caption>{}</caption>\n<thead>{head}</thead>\n<tbody>\n{body}</tbody>\n\
         </table>\n</div>\n",
        escape(caption)
    )
}

/// Whether most cells of a column hold words: words stand at the left, numbers at the right.
fn is_text(column: usize, rows: &[Vec<String>]) -> bool {
    let is_word = |cell: &String| cell.as_bytes().windows(2).any(|pair| pair.iter().all(u8::is_ascii_alphabetic));
    let words = rows.iter().filter_map(|row| row.get(column)).filter(|cell| is_word(cell)).count();
    2 * words > rows.len()
}

/// Text with the characters that mean something in HTML replaced.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// Lower-case letters, digits and hyphens of a name; `figure` when none are left.
fn file_name(name: &str) -> String {
    let mapped: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let parts: Vec<&str> = mapped.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "figure".into() } else { parts.join("-") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let figure = || Figure::draw("pulls", 60, 40, |canvas| canvas.fill(canvas.bounds, super::super::figure::theme::BLUE));
        let mut report = Report::new("A <model> & its fit");
        report
            .section("First", "One\nparagraph.\n\nAnother with <script>.")
            .figure("Pulls of \"E\"", figure())
            .figure("Again", figure())
            .figure("Elsewhere", figure().named("../Odd name"))
            .section("Second", "")
            .table("Numbers", ["a", "b"], vec![vec!["1 < 2".into(), "x".into()], vec!["3 stars".into()]]);
        report
    }

    #[test]
    fn page_and_figures_are_written_together() {
        let folder = tempfile::tempdir().unwrap();
        let page = report().write(&folder.path().join("new/report"), false).unwrap();
        let html = std::fs::read_to_string(&page).unwrap();
        assert!(html.contains("A &lt;model&gt; &amp; its fit") && html.contains("with &lt;script&gt;."), "{html}");
        assert!(html.contains("<td>1 &lt; 2</td><td>x</td>") && html.contains("<td>3 stars</td><td></td>"));
        assert_eq!(html.matches("<svg role=\"img\"").count(), 3);
        let mut files: Vec<String> = std::fs::read_dir(page.with_file_name("figures"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let expected = ["odd-name.png", "odd-name.svg", "pulls-2.png", "pulls-2.svg", "pulls.png", "pulls.svg"];
        assert_eq!(files, expected);
    }

    #[test]
    fn an_existing_report_is_only_replaced_when_asked() {
        let folder = tempfile::tempdir().unwrap();
        report().write(folder.path(), false).unwrap();
        let message = report().write(folder.path(), false).unwrap_err().to_string();
        assert!(message.contains("--overwrite"), "{message}");
        report().write(folder.path(), true).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(report().write(file.path(), true).unwrap_err().exit_code(), 1);
    }
}
