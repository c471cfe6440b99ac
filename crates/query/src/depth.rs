//! A limit on the depth of queries.
//!
//! DataFusion processes a query recursively, and `1 + 1 + 1 + …` is a sum in a sum in a sum: with enough of
//! them the stack overflows and the process ends. The parser limits the nesting of parentheses; this module
//! limits long chains.

use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::QueryError;
use crate::explain::tokens;

/// Maximum number of operators and keywords in sequence without a comma between them.
const MOST_IN_A_ROW: usize = 4000;
/// Maximum number of queries that are combined into one, and of tables that are joined.
const MOST_TOGETHER: usize = 1000;

/// Checks that a query is not too deep.
///
/// # Errors
/// If it is.
pub(crate) fn check(sql: &str) -> Result<(), QueryError> {
    let refuse = |what: &str| QueryError::Sql {
        message: format!("the query is too long to be planned: {what}"),
        help: "put the values into a file, which SQL can join, or split the query".to_owned(),
        sql: sql.to_owned(),
        place: None,
    };
    // In and around each open parenthesis: the count of the part after the last comma, and the maximum of the parts
    // before it.
    let mut open = vec![(0, 0)];
    let mut together = 0;
    for token in tokens(sql).unwrap_or_default() {
        let closed = match token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                open.push((0, 0));
                None
            }
            Token::RParen | Token::RBracket | Token::RBrace if open.len() > 1 => {
                open.pop().map(|(last, most): (usize, usize)| last.max(most) + 1)
            }
            Token::Comma => {
                if let Some((last, most)) = open.last_mut() {
                    (*last, *most) = (0, (*last).max(*most));
                }
                None
            }
            Token::Word(word) => match word.keyword {
                // Names, and the cases of `case`, which are parallel and not nested.
                Keyword::NoKeyword | Keyword::WHEN | Keyword::THEN => None,
                Keyword::UNION | Keyword::EXCEPT | Keyword::INTERSECT | Keyword::JOIN => {
                    together += 1;
                    Some(1)
                }
                _ => Some(1),
            },
            Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::Placeholder(_)
            | Token::Period
            | Token::SemiColon
            | Token::EOF => None,
            _ => Some(1),
        };
        if let (Some(more), Some((last, _))) = (closed, open.last_mut()) {
            *last += more;
            if *last > MOST_IN_A_ROW {
                return Err(refuse(&format!("it has more than {MOST_IN_A_ROW} operators or words in a row")));
            }
        }
    }
    if together > MOST_TOGETHER {
        return Err(refuse(&format!("it combines more than {MOST_TOGETHER} queries or tables")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_row_counts_and_what_stands_side_by_side_does_not() {
        for good in [
            format!("select {}1", "1 + ".repeat(3900)),
            format!("select a in ({}-1)", "-1, ".repeat(100_000)),
            format!("values {}(-1)", "(-1, 2 + 3), ".repeat(20_000)),
            format!("select case {} end", "when a then 'b' ".repeat(10_000)),
            "select 'text".to_owned(),
        ] {
            assert!(check(&good).is_ok(), "{}", &good[..40.min(good.len())]);
        }
        for bad in [
            format!("select {}1", "1 + ".repeat(4001)),
            format!("select 'a'{}", " || 'a'".repeat(4001)),
            format!("select a{}", "[1]".repeat(4001)),
            format!("select a{}", "::int".repeat(4001)),
            format!("select 1 where {}true", "a or ".repeat(4001)),
            format!("select a {}", "is null ".repeat(2001)),
            // In the first of two parts, and in parentheses.
            format!("select f({}1, 2), 3", "1 + ".repeat(4001)),
            format!("select {}1{}", "(1 + ".repeat(2100), ")".repeat(2100)),
            format!("select 1, 2 {}", "union select 1, 2 ".repeat(1001)),
            format!("select 1 from a {}", "join a using (b, c) ".repeat(1001)),
        ] {
            assert!(check(&bad).is_err(), "{}", &bad[..40]);
        }
    }
}
