//! The words and signs of a source, without comments and literals.

/// One of them, and the line it stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'s> {
    /// A word, `::`, or one sign.
    pub(crate) text: &'s str,
    /// From 1.
    pub(crate) line: usize,
}

/// All of a source. What is no Rust gives some tokens or other.
pub(crate) fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let (length, is_token) = if first.is_whitespace() {
            (first.len_utf8(), false)
        } else if let Some(length) = comment(rest).or_else(|| literal(rest)) {
            (length, false)
        } else {
            (word(rest).unwrap_or(sign(rest)), true)
        };
        let (text, after) = rest.split_at(length);
        if is_token {
            found.push(Token { text: text.strip_prefix("r#").unwrap_or(text), line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    found
}

fn sign(rest: &str) -> usize {
    if rest.starts_with("::") { 2 } else { rest.chars().next().map_or(0, char::len_utf8) }
}

fn is_part_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Its length, if the source goes on with a word or a number.
fn word(rest: &str) -> Option<usize> {
    let prefix = if rest.starts_with("r#") { 2 } else { 0 };
    let end = rest[prefix..].find(|character| !is_part_of_word(character));
    let length = end.unwrap_or(rest.len() - prefix);
    (length > 0).then_some(prefix + length)
}

fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        let inside = &rest.as_bytes()[at..];
        if inside.starts_with(b"/*") {
            (at, depth) = (at + 2, depth + 1);
        } else if inside.starts_with(b"*/") {
            (at, depth) = (at + 2, depth - 1);
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    Some(at)
}

/// A string of any kind, a character or a lifetime.
fn literal(rest: &str) -> Option<usize> {
    let opening = rest.find(|character| !matches!(character, 'b' | 'c' | 'r'))?;
    let (prefix, body) = rest.split_at(opening);
    if prefix.len() > 2 {
        return None;
    }
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let text = body[hashes..].strip_prefix('"')?;
        let closing = format!("\"{}", &body[..hashes]);
        let end = text.find(&closing).map_or(text.len(), |end| end + closing.len());
        return Some(prefix.len() + hashes + 1 + end);
    }
    if body.starts_with('"') {
        return Some(prefix.len() + quoted(body, '"'));
    }
    if !body.starts_with('\'') {
        return None;
    }
    let mut characters = body[1..].chars();
    let (first, second) = (characters.next()?, characters.next());
    let is_lifetime = is_part_of_word(first) && second != Some('\'');
    let length = if is_lifetime { 1 + word(&body[1..]).unwrap_or(0) } else { quoted(body, '\'') };
    Some(prefix.len() + length)
}

/// The length of what is between two quotes, with them.
fn quoted(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in body.char_indices().skip(1) {
        if !escaped && character == quote {
            return at + 1;
        }
        escaped = !escaped && character == '\\';
    }
    body.len()
}
