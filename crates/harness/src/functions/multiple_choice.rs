//! Tasks of multiple choice.

use crate::function::Port;
use crate::functions::common::{column, dict, list, mapped, position, text, texts};
use crate::python::{Dict, Value, capitalized, literal, stripped, words};
use crate::substitution::replaced;

const LETTERS: [&str; 4] = ["A", "B", "C", "D"];

/// The digests of sources with their ports.
pub(super) const PORTS: &[(&str, Port)] = &[
    ("b3:f596a1d293b80099b8f81448970d8523de5f1652d5a0c7b7435bf1411f8ad650", Port::Documents(hellaswag)),
    ("b3:8e5e0f259c683a60c931209a92adaffe8c88452132302f35dfecc5de8a64b161", Port::Value(winogrande_text)),
    ("b3:b6d9ef89e1ad26eb25666e58399469f3ab103acb178df569718f2653a48eaffe", Port::Value(winogrande_target)),
    ("b3:f0dda0e6d3d2dc4444d39b27367ae396234ad4d4c4921eb72a32c539bf013ed1", Port::Value(winogrande_choice)),
    ("b3:b1756b6766451c9b9426e936d3f0fbcaec4c8472caefbb67949547b8809299b2", Port::Value(race_text)),
    ("b3:27405a1d471c593ef973740ed03838d0f486ccc90c22fe177cc30f18a3327959", Port::Value(race_target)),
    ("b3:ed44a55ff932379d992f796d9e41d69a2d4405a20fcf3fc8b61e758340f6764d", Port::Value(race_choice)),
    ("b3:4adacb0b3d8f7e3fbf459cbec54dbe3e9b7a824a25264e609f1351f84f5bd605", Port::Value(logiqa_text)),
    ("b3:91ad6639ec2cfbe80f14207757f142e2b35b8f476071343a56787157016c12f2", Port::Value(logiqa_target)),
    ("b3:458df5445e46c5240a4b75667593700afc46f4bc8301be9d455acc8051393afe", Port::Value(copa_text)),
    ("b3:db814ba9f71bc0fcda5cda018b11dc0d3065b98afa533ab86c6040b15491c7e8", Port::Value(copa_target)),
    (
        "b3:6e43b8e14adeda78484d9fd58e3a4bb143d181dd8372fc800aa6dc43acd63004",
        Port::Value(|document| copa_choices(document, " ")),
    ),
    ("b3:1d40a12a517334f582e142cd5760b851f85d3e6c599ec3d8c7a724ce0c4cc090", Port::Value(mathqa_choice)),
    ("b3:60798a05cd458db4f6fbb4feb641651a48193ed08e1fab8826c2669321121357", Port::Value(pubmedqa_text)),
    (
        "b3:59af99c320274d658b83448a8a2bd5eb4f0ef82ff6090882b7e06d16a417e6aa",
        Port::Value(|document| copa_choices(document, "")),
    ),
    (
        "b3:658dd959e2d716cb107ac214551bda32f742243495f66270b37d0c5b98b38e20",
        Port::Value(|document| connected(document, "sest", "seetõttu")),
    ),
    (
        "b3:5043fdc6b9c60390fc7f852c446fd7b5d38fdff94802a50f72a6ced9a7efddc2",
        Port::Value(|document| connected(document, "poukisa", "donk sa")),
    ),
    (
        "b3:88435ff28b4ff12dfc8b4d62debfe37e0a60224cbd6024f47b9a3de8181d5164",
        Port::Value(|document| connected(document, "perché", "quindi")),
    ),
    (
        "b3:db7c47cd0508ce64ab6fad05d0df33f4534d9e339ad7bf3838aed3f6dbcfd846",
        Port::Value(|document| connected(document, "karena", "maka")),
    ),
    (
        "b3:29fb8bee639ceaa8889e0ed52241b6d719f7b58ea920b925218dd8b4949658bb",
        Port::Value(|document| connected(document, "imataq", "chaymi")),
    ),
    (
        "b3:f254479bfd2e42904cddc2c9a977573205172d1c39dfeb813c198658616c079a",
        Port::Value(|document| connected(document, "kwa sababu", "kwa hiyo")),
    ),
    (
        "b3:7468c5fbb20bffd926affc0818aa5d70af27c91447878a7a3572758ab1046a06",
        Port::Value(|document| connected(document, "因为", "所以")),
    ),
    (
        "b3:ff0943d435469c2ef3c1c5146a3a7805ee1de90c3aed138e9f35e32867b8e06f",
        Port::Value(|document| connected(document, "காரணமாக", "எனவே")),
    ),
    (
        "b3:4f56d1c41a3f09226587d30cb7469659d946f80c8d0246035b2c6ea9966eade9",
        Port::Value(|document| connected(document, "เพราะ", "ดังนั้น")),
    ),
    (
        "b3:c79340475cbdcb0300433f4373bc1e9dcbcc6da1b2d7871fff15014f125a815c",
        Port::Value(|document| connected(document, "çünkü", "bu yüzden")),
    ),
    (
        "b3:8948a6b0a7e0f5bb9316c301ff236eb10069d07eb92c339fbb5031ed265b1a3b",
        Port::Value(|document| connected(document, "bởi vì", "vì vậy")),
    ),
    ("b3:fe1a14510a5e8449951d82c554948476c0383b192d073bfedf7a5e2ea66eae89", Port::Value(winogrande_text)),
    ("b3:fe6b0fc1278dc1178c52ef232ff5c20e12caaf2e70b87e2040bfce308d7d32a8", Port::Value(winogrande_target)),
    ("b3:9ac87b9f2d0bfdc09a3682060b121377fa8a0ddc2a2e7a62ff549e0c8d5b127e", Port::Value(winogrande_choice)),
    ("b3:6938185e3e1e809e0d3eee9e938e6f88b456e3d4379bf03574dddeab81923295", Port::Value(wsc_text)),
    ("b3:a32f3f37dd7b9329e5d9ea9bf7d9d4d4434cebf7de97c0b5b9a73f6d4eccc8ab", Port::Value(medqa_text)),
    (
        "b3:a77610553bd78ecdea638d88dae6a1ba836b955743cd0a0b944596c69ef36516",
        Port::Value(|document| column(document, "label").cloned()),
    ),
    ("b3:6646c5853f941d3191c9c56737f47819a352cd11881996dbf153547bf1de5c8a", Port::Documents(bigbench)),
    ("b3:90a575f074640753cfb4a22cd0947e0f1e98685a89cf0f08e1827950f29a5f44", Port::Documents(tmmlu)),
    ("b3:49c40199da9835879bae418b0c1bd5a582ae272da8cdb86c6b443fa97e4b7826", Port::Value(musr_text)),
    ("b3:bb5d0e2f0f35e0b2f5330d6cca2efbf126ad629d591acc53f99e3038d8ce3f99", Port::Documents(eus_exams)),
    ("b3:2aa0949b5c3b3e68840baccddd3ad4a6a5a8b31a479cdd06e640281acb3ba3fd", Port::Documents(mmlusr)),
    ("b3:c2fadbcafc42becdaafcea1dd6fae1c465fd788d9375c0f64dc1ff8891fb26f9", Port::Documents(tmlu)),
    ("b3:a1e947efe33fa14c6f442fa08ef204832d4ff5f218b569d3f08289274314fe6e", Port::Documents(okapi_arc)),
    ("b3:dc6e65bd0dd6b5df8bde8ab1b149e76c0d20d95d85afe3a21025e517cae42515", Port::DocumentsOf(of_subject)),
];

/// The documents of the subject that the name of the function has.
fn of_subject(name: &str, documents: Vec<Dict>) -> Result<Vec<Dict>, String> {
    let subject = name.strip_prefix("process_").ok_or("its name has no subject")?;
    documents
        .into_iter()
        .filter_map(|document| {
            let is_of = column(&document, "subject").map(|value| value.text() == Some(subject));
            is_of.map(|is_of| is_of.then_some(document)).transpose()
        })
        .collect()
}

fn copa_text(document: &Dict) -> Result<Value, String> {
    connected(document, "because", "therefore")
}

/// The premise without its last character, and the word that connects it with a cause or an effect.
fn connected(document: &Dict, cause: &str, effect: &str) -> Result<Value, String> {
    let word = [cause, effect][position(text(document, "question")?, &["cause", "effect"])?];
    let mut premise = stripped(text(document, "premise")?).chars();
    premise.next_back();
    Ok(format!("{} {word}", premise.as_str()).into())
}

/// The text with its first letter small, after `before`.
fn small(document: &Dict, name: &str, before: &str) -> Result<String, String> {
    let mut rest = text(document, name)?.chars();
    let first = rest.next().ok_or_else(|| format!("the column `{name}` is empty"))?;
    Ok(format!("{before}{}{}", first.to_lowercase(), rest.as_str()))
}

fn copa_choices(document: &Dict, before: &str) -> Result<Value, String> {
    Ok(vec![small(document, "choice1", before)?, small(document, "choice2", before)?].into())
}

fn copa_target(document: &Dict) -> Result<Value, String> {
    let is_first = column(document, "label")?.equals(&Value::Int(0));
    small(document, if is_first { "choice1" } else { "choice2" }, " ").map(Value::from)
}

fn mathqa_choice(document: &Dict) -> Result<Value, String> {
    let found = crate::substitution::found(r"[abcd] \) .*?, |e \) .*?$", text(document, "options")?)?;
    let of = |choice: &String| choice.get(4..).unwrap_or_default().trim_end_matches([' ', ',']).to_owned();
    Ok(found.iter().map(of).collect::<Vec<_>>().into())
}

fn pubmedqa_text(document: &Dict) -> Result<Value, String> {
    let contexts = texts(document, "CONTEXTS")?.join("\n");
    Ok(format!("Abstract: {contexts}\nQuestion: {}\nAnswer:", text(document, "QUESTION")?).into())
}

/// The harness's own `general_detokenize`.
fn detokenized(text: &str) -> Result<String, String> {
    let mut out = text.to_owned();
    for (old, new) in [(" n't", "n't"), (" )", ")"), ("( ", "("), ("\" ", "\""), (" \"", "\"")] {
        out = out.replace(old, new);
    }
    replaced(r" (['.,])", &out, r"\1", 0)
}

fn wsc_text(document: &Dict) -> Result<Value, String> {
    let (passage, pronoun) = (text(document, "text")?, text(document, "span2_text")?);
    let before = column(document, "span2_index")?.int().and_then(|number| usize::try_from(number).ok());
    let before = before.ok_or("`span2_index` is no whole number")?;
    let before = words(passage).take(before).collect::<Vec<_>>().join(" ");
    let after: String = passage.chars().skip(before.chars().count() + pronoun.chars().count() + 1).collect();
    let passage = detokenized(&format!("{before} *{pronoun}*{after}"))?;
    let noun = text(document, "span1_text")?;
    let question = format!("In the passage above, does the pronoun \"*{pronoun}*\" refer to \"*{noun}*\"?");
    Ok(format!("Passage: {passage}\nQuestion: {question}\nAnswer:").into())
}

fn medqa_text(document: &Dict) -> Result<Value, String> {
    let mut out = format!("Question: {}\n", text(document, "sent1")?);
    for (letter, name) in LETTERS.iter().zip(["ending0", "ending1", "ending2", "ending3"]) {
        out += &format!("{letter}. {}\n", column(document, name)?.shown());
    }
    Ok((out + "Answer:").into())
}

fn bigbench(documents: Vec<Dict>) -> Result<Vec<Dict>, String> {
    documents
        .into_iter()
        .filter_map(|document| match list(&document, "multiple_choice_targets") {
            Ok([]) => None,
            Ok(_) => Some(Ok(document)),
            Err(what) => Some(Err(what)),
        })
        .collect()
}

fn tmmlu(documents: Vec<Dict>) -> Result<Vec<Dict>, String> {
    mapped(documents, |document| {
        let choices = LETTERS.iter().map(|letter| column(document, letter).cloned());
        Ok(dict([
            ("questions", column(document, "question")?.clone()),
            ("choices", Value::List(choices.collect::<Result<_, _>>()?)),
            ("goal", position(text(document, "answer")?, &LETTERS)?.into()),
        ]))
    })
}

fn eus_exams(documents: Vec<Dict>) -> Result<Vec<Dict>, String> {
    documents
        .into_iter()
        .filter_map(|document| {
            let is_valid = column(&document, "answer").and_then(|answer| {
                let candidates = texts(&document, "candidates")?;
                Ok(answer.int().is_some_and(|answer| (0..4).contains(&answer)) && candidates != [""; 4])
            });
            is_valid.map(|is_valid| is_valid.then_some(document)).transpose()
        })
        .collect()
}

/// A column that may be null, which is then empty.
fn or_empty<'a>(document: &'a Dict, name: &str) -> Result<&'a str, String> {
    if column(document, name)?.is_none() { Ok("") } else { text(document, name) }
}

fn mmlusr(documents: Vec<Dict>) -> Result<Vec<Dict>, String> {
    mapped(documents, |document| {
        let choices = ["choice1", "choice2", "choice3", "choice4"].map(|name| or_empty(document, name));
        Ok(dict([
            ("choices", choices.into_iter().collect::<Result<Vec<_>, _>>()?.into()),
            ("answer", stripped(or_empty(document, "answer")?).into()),
        ]))
    })
}

fn tmlu(documents: Vec<Dict>) -> Result<Vec<Dict>, String> {
    mapped(documents, |document| {
        let more = ["E", "F"].into_iter().filter(|name| document.get(name).is_some_and(Value::is_true));
        let letters: Vec<&str> = LETTERS.into_iter().chain(more).collect();
        let choices = letters.iter().map(|letter| column(document, letter).cloned());
        Ok(dict([
            ("questions", column(document, "question")?.clone()),
            ("choices", Value::List(choices.collect::<Result<_, _>>()?)),
            ("goal", position(text(document, "answer")?, &letters)?.into()),
        ]))
    })
}

fn okapi_arc(documents: Vec<Dict>) -> Result<Vec<Dict>, String> {
    mapped(documents, |document| {
        let options = ["option_a", "option_b", "option_c", "option_d", "option_e"].map(|name| or_empty(document, name));
        let options = options
            .into_iter()
            .filter(|option| option.as_ref().is_ok_and(|option| !option.is_empty()) || option.is_err());
        let choices: Vec<String> = options.map(|option| without_brackets(option?)).collect::<Result<_, _>>()?;
        let gold = position(text(document, "answer")?, &["A", "B", "C", "D", "E"])?;
        Ok(dict([
            ("id", column(document, "id")?.clone()),
            ("query", format!("Question: {}\nAnswer:", without_brackets(text(document, "instruction")?)?).into()),
            ("choices", choices.into()),
            ("gold", gold.into()),
        ]))
    })
}

fn musr_choice(document: &Dict) -> Result<Value, String> {
    literal(text(document, "choices")?)
}

fn musr_text(document: &Dict) -> Result<Value, String> {
    let choices = musr_choice(document)?;
    let choices = choices.list().ok_or("`choices` is no list")?.iter().enumerate();
    let choices: String = choices.map(|(at, choice)| format!("{} - {}\n", at + 1, choice.shown())).collect();
    Ok(format!("{}\n\n{}\n\n{choices}\nAnswer:", text(document, "narrative")?, text(document, "question")?).into())
}

/// The text without what stands in brackets.
fn without_brackets(of: &str) -> Result<String, String> {
    let without = replaced(r"\[.*?\]", &stripped(of).replace(" [title]", ". "), "", 0)?;
    Ok(without.replace("  ", " "))
}

fn hellaswag(documents: Vec<Dict>) -> Result<Vec<Dict>, String> {
    mapped(documents, |document| {
        let context = format!("{} {}", text(document, "ctx_a")?, capitalized(text(document, "ctx_b")?));
        let endings = texts(document, "endings")?;
        let label = text(document, "label")?;
        let gold: i128 = stripped(label).parse().map_err(|_| format!("the label {label:?} is no number"))?;
        Ok(dict([
            ("query", without_brackets(&format!("{}: {context}", text(document, "activity_label")?))?.into()),
            ("choices", endings.into_iter().map(without_brackets).collect::<Result<Vec<_>, _>>()?.into()),
            ("gold", gold.into()),
        ]))
    })
}

fn winogrande_parts(document: &Dict) -> Result<(&str, &str), String> {
    text(document, "sentence")?.split_once('_').ok_or_else(|| "the sentence has no `_`".to_owned())
}

fn winogrande_text(document: &Dict) -> Result<Value, String> {
    position(text(document, "answer")?, &["1", "2"]).map(Value::from)
}

fn winogrande_target(document: &Dict) -> Result<Value, String> {
    Ok(stripped(winogrande_parts(document)?.1).into())
}

fn winogrande_choice(document: &Dict) -> Result<Value, String> {
    let (before, _) = winogrande_parts(document)?;
    let of = |name: &str| Ok(format!("{before}{}", text(document, name)?));
    Ok([of("option1"), of("option2")].into_iter().collect::<Result<Vec<String>, String>>()?.into())
}

fn race_problems(document: &Dict) -> Result<(Vec<Dict>, Dict), String> {
    let problems = literal(text(document, "problems")?)?;
    let problems = problems.list().ok_or("the problems are no list")?;
    let problems = problems.iter().map(|problem| problem.dict().cloned()).collect::<Option<Vec<Dict>>>();
    let mut problems = problems.ok_or("a problem is no dict")?;
    let last = problems.pop().ok_or("it has no problems")?;
    Ok((problems, last))
}

fn race_answer(problem: &Dict) -> Result<&str, String> {
    let answer = position(text(problem, "answer")?, &LETTERS)?;
    texts(problem, "options")?.get(answer).copied().ok_or_else(|| "a problem has less options".to_owned())
}

fn race_text(document: &Dict) -> Result<Value, String> {
    let (before, last) = race_problems(document)?;
    let mut out = format!("Article: {}\n\n", text(document, "article")?);
    for problem in &before {
        let (question, answer) = (text(problem, "question")?, race_answer(problem)?);
        match question.strip_suffix("  _  .") {
            Some(start) => out += &format!("{start} {answer}\n"),
            None => out += &format!("Question: {question}\nAnswer: {answer}\n"),
        }
    }
    out += text(&last, "question")?;
    Ok(out.into())
}

fn race_target(document: &Dict) -> Result<Value, String> {
    position(text(&race_problems(document)?.1, "answer")?, &LETTERS).map(Value::from)
}

fn race_choice(document: &Dict) -> Result<Value, String> {
    let (_, last) = race_problems(document)?;
    let options = list(&last, "options")?.get(..4).ok_or("the last problem has less than 4 options")?;
    Ok(Value::List(options.to_vec()))
}

fn logiqa_text(document: &Dict) -> Result<Value, String> {
    let mut out =
        format!("Passage: {}\nQuestion: {}\nChoices:\n", text(document, "context")?, text(document, "question")?);
    for (letter, option) in LETTERS.iter().zip(list(document, "options")?) {
        out += &format!("{letter}. {}\n", option.shown());
    }
    Ok((out + "Answer:").into())
}

fn logiqa_target(document: &Dict) -> Result<Value, String> {
    position(stripped(text(document, "label")?), &["a", "b", "c", "d"]).map(Value::from)
}
