//! The modules that a source declares, and the paths that it names.

use crate::tokens::{Token, tokens};

/// What one file says.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// Modules in files of their own.
    pub(crate) modules: Vec<String>,
    /// Paths in the order of the file.
    pub(crate) paths: Vec<Named>,
}

/// A path of more than one segment, or one that `use` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// As written, `crate`, `self` and `super` too; a glob ends with `*`.
    pub(crate) segments: Vec<String>,
    /// The modules inside the file that it stands in.
    pub(crate) inside: Vec<String>,
    /// From 1.
    pub(crate) line: usize,
    /// If `use` names it: the name that it brings.
    pub(crate) brings: Option<String>,
    /// If `use` names it with a visibility: others find it here, too.
    pub(crate) re_exported: bool,
}

/// Reads a source.
pub(crate) fn read(source: &str) -> Source {
    let tokens = tokens(source);
    let mut reader = Reader { tokens: &tokens, at: 0, inside: Vec::new(), depth: 0 };
    let mut found = Source::default();
    reader.read(&mut found);
    found
}

struct Reader<'t> {
    tokens: &'t [Token<'t>],
    at: usize,
    /// The modules around, and the depth of braces that each is in.
    inside: Vec<(String, usize)>,
    depth: usize,
}

impl Reader<'_> {
    /// The text of a token, counted from the one that is looked at; empty beyond the ends.
    fn text(&self, offset: isize) -> &str {
        let at = self.at.checked_add_signed(offset);
        at.and_then(|at| self.tokens.get(at)).map_or("", |token| token.text)
    }

    fn starts_with(&self, texts: &[&str]) -> bool {
        (0_isize..).zip(texts).all(|(offset, text)| self.text(offset) == *text)
    }

    fn read(&mut self, found: &mut Source) {
        while self.at < self.tokens.len() {
            let for_tests = self.starts_with(&["#", "[", "cfg", "(", "test", ")", "]"])
                || self.starts_with(&["#", "[", "cfg", "(", "all", "(", "test"]);
            if for_tests {
                self.skip_item();
                continue;
            }
            match self.text(0) {
                "{" => self.depth += 1,
                "}" => {
                    self.depth = self.depth.saturating_sub(1);
                    let depth = self.depth;
                    self.inside.pop_if(|(_, around)| *around == depth);
                }
                "mod" if self.text(2) == ";" => found.modules.push(self.text(1).to_owned()),
                "mod" if self.text(2) == "{" => {
                    self.inside.push((self.text(1).to_owned(), self.depth));
                }
                "use" if self.text(1) != "<" => {
                    let re_exported = self.text(-1) == "pub" || self.text(-1) == ")";
                    self.at += 1;
                    self.read_use(&[], re_exported, found);
                    continue;
                }
                _ if self.begins_path() => {
                    self.read_path(found);
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    fn begins_path(&self) -> bool {
        let text = self.text(0);
        let is_word = text.starts_with(|first: char| first.is_alphabetic() || first == '_');
        // `pub(in crate::x)` says who may see it, and uses nothing.
        is_word && self.text(1) == "::" && self.text(-1) != "::" && self.text(-1) != "in"
    }

    /// Skips what `#[cfg(test)]` stands before: an item, a field or a statement.
    fn skip_item(&mut self) {
        const ITEMS: &[&str] = &[
            "async", "const", "enum", "extern", "fn", "impl", "mod", "pub", "static", "struct",
            "trait", "type", "unsafe", "use",
        ];
        while self.text(0) == "#" {
            self.at += 1;
            self.skip_group();
        }
        let item = ITEMS.contains(&self.text(0));
        let mut is_use = false;
        while self.at < self.tokens.len() {
            match self.text(0) {
                "}" | ")" | "]" => return,
                ";" => {
                    self.at += 1;
                    return;
                }
                "," if !item => return,
                "{" if !is_use => return self.skip_group(),
                "{" | "(" | "[" => self.skip_group(),
                text => {
                    is_use |= text == "use";
                    self.at += 1;
                }
            }
        }
    }

    /// Skips from an opening bracket past its closing one.
    fn skip_group(&mut self) {
        let mut depth = 0_usize;
        while self.at < self.tokens.len() {
            match self.text(0) {
                "{" | "(" | "[" => depth += 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// Reads what follows `use` or stands in one of its groups.
    fn read_use(&mut self, before: &[String], re_exported: bool, found: &mut Source) {
        let line = self.tokens.get(self.at).map_or(0, |token| token.line);
        let mut segments = before.to_vec();
        loop {
            match self.text(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !matches!(self.text(0), "}" | "") {
                        self.read_use(&segments, re_exported, found);
                        if self.text(0) == "," {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                "as" | "," | "}" | ";" | "" => break,
                text => {
                    segments.push(text.to_owned());
                    self.at += 1;
                }
            }
        }
        // `{self}` brings the module itself.
        if segments.len() > 1 && segments.last().is_some_and(|last| last == "self") {
            segments.pop();
        }
        let mut brings = segments.last().cloned();
        if self.text(0) == "as" {
            brings = Some(self.text(1).to_owned());
            self.at += 2;
        }
        if !segments.is_empty() {
            let inside = self.inside();
            found.paths.push(Named { segments, inside, line, brings, re_exported });
        }
    }

    fn read_path(&mut self, found: &mut Source) {
        let line = self.tokens[self.at].line;
        let mut segments = vec![self.text(0).to_owned()];
        self.at += 1;
        while self.text(0) == "::" {
            let next = self.text(1);
            if !next.starts_with(|first: char| first.is_alphabetic() || first == '_') {
                break;
            }
            segments.push(next.to_owned());
            self.at += 2;
        }
        let inside = self.inside();
        found.paths.push(Named { segments, inside, line, brings: None, re_exported: false });
    }

    fn inside(&self) -> Vec<String> {
        self.inside.iter().map(|(name, _)| name.clone()).collect()
    }
}
