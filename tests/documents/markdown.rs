//! As much of Markdown as the documents use.

use std::fs;

use super::root;

pub(super) struct Document {
    /// Its path from the root.
    pub(super) name: String,
    pub(super) text: String,
}

/// A fenced block.
#[derive(Debug)]
pub(super) struct Block {
    /// What stands behind the fence.
    pub(super) info: String,
    pub(super) text: String,
    /// The block that follows, if only blank lines stand between.
    pub(super) next: Option<(String, String)>,
}

impl Document {
    pub(super) fn read(name: &str) -> Self {
        let text = fs::read_to_string(root().join(name)).unwrap();
        assert!(
            !text.contains("\n ```") && !text.contains("\n~~~"),
            "{name}: fences begin a line, so that they are found"
        );
        Self { name: name.into(), text }
    }

    pub(super) fn blocks(&self) -> Vec<Block> {
        let parts: Vec<&str> = self.text.split("\n```").collect();
        assert!(parts.len() % 2 == 1, "{}: a fence is not closed", self.name);
        let block = |at: usize| parts[at].split_once('\n').unwrap();
        let blocks = (1..parts.len()).step_by(2).map(|at| {
            let (info, text) = block(at);
            let follows = at + 2 < parts.len() && parts[at + 1].trim().is_empty();
            let next = follows.then(|| block(at + 2)).map(|(info, text)| (info.to_owned(), text.to_owned()));
            Block { info: info.to_owned(), text: text.to_owned(), next }
        });
        blocks.collect()
    }

    /// The text without its fenced blocks.
    pub(super) fn prose(&self) -> String {
        self.text.split("\n```").step_by(2).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn headings(&self) -> Vec<String> {
        let prose = self.prose();
        let lines = prose.lines().filter(|line| line.starts_with('#'));
        lines.map(|line| line.trim_start_matches('#').trim().to_owned()).collect()
    }

    /// The rows of all tables between a heading and the next one, without their heads.
    pub(super) fn rows(&self, heading: &str) -> Vec<Vec<String>> {
        let prose = self.prose();
        let is_it = |line: &&str| line.starts_with('#') && line.trim_start_matches('#').trim() == heading;
        let mut lines = prose.lines().skip_while(|line| !is_it(line));
        assert!(lines.next().is_some(), "{} has no heading {heading:?}", self.name);
        let (mut rows, mut in_body) = (Vec::new(), false);
        for line in lines.take_while(|line| !line.starts_with('#')) {
            match line.strip_prefix('|') {
                Some(rule) if rule.starts_with("---") => in_body = true,
                Some(row) if in_body => rows.push(cells(row)),
                Some(_) => {}
                None => in_body = false,
            }
        }
        assert!(!rows.is_empty(), "{} has no table under {heading:?}", self.name);
        rows
    }
}

/// The cells of a row; a bar that is escaped is none.
fn cells(row: &str) -> Vec<String> {
    let row = row.trim_end().trim_end_matches('|').replace("\\|", "\u{0}");
    row.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
}

/// What stands between backquotes.
pub(super) fn codes(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('`') {
        let quote = &rest[start..start + rest[start..].chars().take_while(|sign| *sign == '`').count()];
        let inner = &rest[start + quote.len()..];
        let Some(end) = inner.find(quote) else { break };
        found.push(inner[..end].trim().to_owned());
        rest = &inner[end + quote.len()..];
    }
    found
}

/// Whether a text is what a document has, where `…` stands for anything.
pub(super) fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let mut open = false;
    for part in parts {
        open = true;
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        open &= part.is_empty();
    }
    open || rest.is_empty()
}

#[test]
fn markdown_is_read_as_it_is_meant() {
    assert_eq!(codes("a `b` and `` c ` d ``"), ["b", "c ` d"]);
    assert_eq!(cells(" a | `b\\|c` | |"), ["a", "`b|c`", ""]);
    assert!(fits("waiting until …: …", "waiting until 3: x") && fits("a … b", "a c b") && fits("a", "a"));
    assert!(!fits("a … b", "a c bd") && !fits("a", "ab") && !fits("b…", "ab"));
}
