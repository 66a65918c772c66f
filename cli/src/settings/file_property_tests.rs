//! Whatever somebody wrote into the file: settings, or the line and the mistake, and never a secret.

use proptest::prelude::*;
use toml::Value;

use super::*;

/// The example, with every key in force.
fn example() -> Vec<String> {
    let text = include_str!("../../../deploy/config/gateway.toml");
    let is_key = |key: &str| key.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let in_force = |line: &str| {
        let rest = line.strip_prefix("# ").unwrap_or(line);
        let setting = rest.split_once(" = ").is_some_and(|(key, _)| is_key(key));
        let table = rest.starts_with('[') && rest.ends_with(']');
        (setting || table).then(|| rest.to_owned())
    };
    text.lines().filter_map(in_force).collect()
}

/// Where a secret ends up that is put into the wrong place.
fn misplaced() -> impl Strategy<Value = String> {
    let key = "password|secret_access_key|account_key|pasword|passwd|secret|Password";
    let value = r#""hunter2"|'hunter2'|hunter2|"hunter2|\["hunter2"\]|\{ a = "hunter2" \}|"hunter2\\q""#;
    (key, " = |=|  =  | ", value).prop_map(|(key, equals, value)| key + &equals + &value)
}

#[derive(Debug, Clone)]
enum Damage {
    Put(String),
    Leave,
    Twice,
    Character(usize, char),
}

fn damage() -> impl Strategy<Value = Damage> {
    let value = prop::sample::select(vec![
        "1",
        "-1",
        "\"\"",
        "'x'",
        "[]",
        "{}",
        "true",
        "1.5",
        "1979-05-27",
        "\"1\\u0000\"",
        "99999999999999999999",
    ]);
    let key = "name|url|listen|blob_memory|validity|networks|mode|host|http|mirror_registry|upstream|storage|x";
    let characters = vec!['"', '\'', '=', '[', ']', '#', '\0', 'é', '\\', ' '];
    prop_oneof![
        2 => misplaced().prop_map(Damage::Put),
        2 => (key, value).prop_map(|(key, value)| Damage::Put(format!("{key} = {value}"))),
        1 => r"\[{0,2}(upstream|storage|storage\.s3|x|upstream_connection)?\]{0,2}".prop_map(Damage::Put),
        1 => Just(Damage::Leave),
        1 => Just(Damage::Twice),
        1 => (any::<usize>(), prop::sample::select(characters)).prop_map(|(at, c)| Damage::Character(at, c)),
    ]
}

fn done(damage: Damage, at: usize, lines: &mut Vec<String>) {
    match damage {
        Damage::Put(line) => lines.insert(at, line),
        Damage::Leave => drop(lines.remove(at)),
        Damage::Twice => lines.insert(at, lines[at].clone()),
        Damage::Character(by, character) => {
            let mut characters: Vec<char> = lines[at].chars().collect();
            characters.insert(by % (characters.len() + 1), character);
            lines[at] = characters.into_iter().collect();
        }
    }
}

proptest! {
    // Slow ones: a part of the usual number, however many that is.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.div_ceil(2)))]

    #[test]
    fn a_damaged_file_is_read_or_its_line_is_named(
        damages in prop::collection::vec((any::<prop::sample::Index>(), damage()), 1..4),
    ) {
        let mut lines = example();
        for (at, damage) in damages {
            let at = at.index(lines.len());
            done(damage, at, &mut lines);
        }
        let text = lines.join("\n");
        match parse::<File>(&text) {
            // What is understood is what TOML says, and nothing was passed over.
            Ok(file) => {
                let table: toml::Table = text.parse().expect("TOML");
                let members = |key: &str| table.get(key).and_then(Value::as_array).map_or(0, Vec::len);
                prop_assert_eq!(file.upstreams.len(), members("upstream"));
                prop_assert_eq!(file.upstream_connections.len(), members("upstream_connection"));
                prop_assert_eq!(file.listen.is_some(), table.contains_key("listen"));
                let told = format!("{file:?}");
                prop_assert!(!told.contains("hunter2"));
            }
            Err((line, message)) => {
                prop_assert!((1..=lines.len()).contains(&line), "line {} of {:?}", line, text);
                prop_assert!(!message.is_empty() && !message.contains('\n'), "{:?}", message);
                prop_assert!(!message.contains("hunter2"), "{:?}", message);
            }
        }
    }

    #[test]
    fn any_text_has_an_answer(text in "\\PC{0,60}|[a-z=\"'\\[\\]{}#.\n0-9 ]{0,60}") {
        if let Err((line, message)) = parse::<File>(&text) {
            prop_assert!(line >= 1 && line <= text.split('\n').count());
            prop_assert!(!message.contains('\n'));
        }
    }

    /// Deep nesting costs no stack.
    #[test]
    fn depth_is_no_trouble(open in r#"\[|\{a=|a\.|"|a=\[|\[a\."#, times in 1_usize..5_000) {
        let _ = parse::<File>(&format!("x = {}", open.repeat(times)));
        let _ = parse::<File>(&open.repeat(times));
    }
}
