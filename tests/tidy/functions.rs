//! Rules about one function: its length and its parameters.

use super::source::{Source, Violation, closing, find_words, is_word, line_of};

const LINES_MAX: usize = 70;
const PARAMETERS_MAX: usize = 5;

struct Function<'a> {
    name: &'a str,
    start: usize,
    /// From the opening to after the closing bracket.
    parameters: &'a str,
    /// The end of its body, or nothing for a declaration.
    end: Option<usize>,
}

/// At most 70 lines from `fn` to the closing brace.
pub fn long_functions(source: &Source) -> Vec<Violation> {
    let code = &source.product;
    let mut found = Vec::new();
    for function in functions(code) {
        let Some(end) = function.end else { continue };
        let lines = line_of(code, end) - line_of(code, function.start) + 1;
        if lines > LINES_MAX {
            let what = format!("`{}` has {lines} lines, {LINES_MAX} are allowed", function.name);
            found.push(source.violation("function_length", line_of(code, function.start), what));
        }
    }
    found
}

/// At most 5 parameters without `self`. Methods of a trait are not counted: their shape is not ours.
pub fn many_parameters(source: &Source) -> Vec<Violation> {
    let code = &source.product;
    let foreign = trait_implementations(code);
    let mut found = Vec::new();
    for function in functions(code) {
        let count = count_parameters(function.parameters);
        if count > PARAMETERS_MAX
            && !foreign.iter().any(|(start, end)| (*start..*end).contains(&function.start))
        {
            let what = format!(
                "`{}` takes {count} parameters, {PARAMETERS_MAX} are allowed",
                function.name
            );
            found.push(source.violation("parameters", line_of(code, function.start), what));
        }
    }
    found
}

fn functions(code: &str) -> Vec<Function<'_>> {
    find_words(code, "fn ").into_iter().filter_map(|start| function(code, start)).collect()
}

fn function(code: &str, start: usize) -> Option<Function<'_>> {
    let name_start = start + code[start..].find(' ')? + 1;
    let name_len = code[name_start..].bytes().take_while(|b| is_word(*b)).count();
    if name_len == 0 {
        return None;
    }
    let after_name = skip_generics(code, name_start + name_len);
    let open = after_name + code[after_name..].find('(')?;
    let close = closing(code, open);
    let stop = close + code[close..].find(['{', ';'])?;
    let end = code[stop..].starts_with('{').then(|| closing(code, stop));
    Some(Function {
        name: &code[name_start..name_start + name_len],
        start,
        parameters: &code[open..close],
        end,
    })
}

/// The offset after `<…>` at `at`, or `at`.
fn skip_generics(code: &str, at: usize) -> usize {
    let bytes = code.as_bytes();
    if bytes.get(at) != Some(&b'<') {
        return at;
    }
    let mut depth = 0_i32;
    for (n, byte) in bytes.iter().enumerate().skip(at) {
        match byte {
            b'<' => depth += 1,
            // The arrow of `Fn() -> T` closes nothing.
            b'>' if bytes[n - 1] != b'-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return n + 1;
        }
    }
    at
}

fn count_parameters(list: &str) -> usize {
    let bytes = list.as_bytes();
    let mut depth = 0_i32;
    let mut parameters = vec![String::new()];
    for (n, byte) in bytes.iter().enumerate() {
        match byte {
            b'(' | b'[' | b'{' | b'<' => depth += 1,
            b')' | b']' | b'}' => depth -= 1,
            b'>' if n > 0 && bytes[n - 1] != b'-' && bytes[n - 1] != b'=' => depth -= 1,
            b',' if depth == 1 => parameters.push(String::new()),
            _ => parameters.last_mut().expect("one was pushed").push(char::from(*byte)),
        }
    }
    let is_self =
        |p: &str| p.split(':').next().unwrap_or("").split(['&', ' ', '\'']).any(|w| w == "self");
    parameters.iter().map(|p| p.trim()).filter(|p| !p.is_empty() && !is_self(p)).count()
}

/// The bodies of `impl Trait for Type`.
fn trait_implementations(code: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for start in find_words(code, "impl") {
        let after = skip_generics(code, start + 4);
        let Some(open) = code[after..].find(['{', ';', '(']).map(|n| after + n) else { continue };
        if code[open..].starts_with('{') && code[after..open].contains(" for ") {
            found.push((open, closing(code, open)));
        }
    }
    found
}

#[test]
fn the_71st_line_is_too_much() {
    let function = |n: usize| {
        format!(
            "impl X {{\n    fn a<T: Fn(u8) -> u8>(t: T) {{\n{}    }}\n}}\n",
            "let x = 1;\n".repeat(n - 2)
        )
    };
    assert_eq!(long_functions(&Source::new("src/x.rs", &function(70))), []);
    let found = long_functions(&Source::new("src/x.rs", &function(71)));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].line, 2);
    assert_eq!(long_functions(&Source::new("tests/x.rs", &function(71))), []);
}

#[test]
fn the_sixth_parameter_is_too_much_and_self_does_not_count() {
    let count = |text: &str| many_parameters(&Source::new("src/x.rs", text)).len();
    assert_eq!(
        count("fn f(a: u8, b: Map<K, V>, c: [u8; 2], d: (u8, u8), e: &dyn Fn(A, B) -> C) {}"),
        0
    );
    assert_eq!(count("fn f(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8) {}"), 1);
    assert_eq!(count("impl X { fn f(&mut self, a: u8, b: u8, c: u8, d: u8, e: u8,) {} }"), 0);
    assert_eq!(count("impl X { fn f(&'a self, a: u8, b: u8, c: u8, d: u8, e: u8, g: u8) {} }"), 1);
    assert_eq!(
        count(
            "impl<T: A<B>> Filesystem for X { fn f(&self, a: A, b: B, c: C, d: D, e: E, g: G) {} }"
        ),
        0
    );
    assert_eq!(
        count(
            "fn f<const N: usize>(\n a: u8,\n b: u8,\n c: u8,\n d: u8,\n e: u8,\n f: u8,\n) -> u8\nwhere T: A {}"
        ),
        1
    );
}
