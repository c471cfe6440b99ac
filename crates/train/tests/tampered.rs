//! Runs that were tampered with, by the person who trains or the one who publishes: a replay finds each, with its
//! kind, step and location.
//!
//! A dishonest trainer is simulated with the real one, between whose steps the state, the run or the tokens are
//! changed; its journal is then as consistent as an honest one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use retrace_files::Silent;
use retrace_files::safetensors::{self, tensor_digest, tensor_root};
use retrace_model::Engine;
use retrace_spec::{Digest, Document, Run, Seed, Step};
use retrace_train::{Batches, Checks, DifferenceKind, Finding, Journal, Line, RECORDED_RUN, Replay, State, Trainer};
use serde_json::{Value, json};

mod small;

use small::{RUN, initial, opened, prepare, replay};

/// A run whose first phase is long enough for the changes.
fn run() -> Run {
    Run::parse(&format!("{RUN}mask_document_ends: true\n"), "run.yaml").unwrap()
}

fn changed(from: &str, to: &str) -> Run {
    let text = format!("{RUN}mask_document_ends: true\n").replace(from, to);
    Run::parse(&text, "run.yaml").unwrap()
}

fn output(root: &Path) -> PathBuf {
    root.join("runs/small")
}

/// One step of `with`, which leads to step `step` of the run.
fn step_of(root: &Path, with: &Run, state: State, lines: &[Line]) -> (State, Line) {
    let network = Engine::default().network(&with.model).unwrap();
    let mut trainer = Trainer::new(&opened(root), with, network.as_ref(), state, lines).unwrap();
    let line = trainer.step().unwrap().unwrap();
    (trainer.into_state(), line)
}

/// Corrects the line's digests of the weights.
fn describe(line: &mut Line, state: &State) {
    line.weights = state.weights_root();
    line.tensors = state.weight_digests().iter().map(|(_, digest)| digest).collect();
    line.state = line.state.map(|_| state.digest());
}

/// Trains, where `cheat` decides before each step what is computed instead of the honest step, and publishes the
/// result as an honest run.
fn trained(root: &Path, cheat: impl Fn(&Path, State, &[Line]) -> (State, Line)) {
    prepare(root);
    let run = run();
    let mut state = initial(&opened(root), &run).unwrap();
    let mut saved = vec![state.clone()];
    let mut lines: Vec<Line> = Vec::new();
    for step in 1..=run.steps().get() {
        let (mut after, mut line) = cheat(root, state, &lines);
        (after.step, line.step) = (Step(step), Step(step));
        line.tokens = retrace_spec::Tokens(step * (run.batch_size * run.sequence_length) as u64);
        after.tokens = line.tokens;
        line.phase = run.phase_of(Step(step)).unwrap().0.name.clone();
        line.state = run.saves(Step(step)).then(|| after.digest());
        saved.extend(line.state.map(|_| after.clone()));
        state = after;
        lines.push(line);
    }
    publish(root, &run, lines, &saved);
}

fn honest(root: &Path, state: State, lines: &[Line]) -> (State, Line) {
    step_of(root, &run(), state, lines)
}

/// Writes the run's directory: all digests in it are consistent.
fn publish(root: &Path, run: &Run, lines: Vec<Line>, saved: &[State]) {
    let (output, digest) = (output(root), run.digest().unwrap());
    fs::create_dir_all(&output).unwrap();
    fs::write(output.join(RECORDED_RUN), serde_json::to_vec_pretty(run).unwrap()).unwrap();
    let heads = chain(root, digest, lines);
    for state in saved {
        let head = heads[state.step.get() as usize];
        state.save(run, &opened(&output), b"{}", digest, state.digest(), head).unwrap();
    }
}

/// Writes the journal as a consistent chain; returns the digests of its lines, preceded by the run's.
fn chain(root: &Path, run: Digest, lines: Vec<Line>) -> Vec<Digest> {
    let (mut heads, mut text) = (vec![run], Vec::new());
    for mut line in lines {
        line.previous = heads[heads.len() - 1];
        let bytes = serde_json::to_vec(&line).unwrap();
        heads.push(Digest::of(&bytes));
        text.extend(bytes);
        text.push(b'\n');
    }
    fs::write(output(root).join(Journal::NAME), text).unwrap();
    heads
}

fn lines(root: &Path) -> Vec<Line> {
    Journal::read(&opened(output(root))).unwrap().lines().to_vec()
}

/// Rewrites the journal after an honest run, including the chain and the checkpoints' references.
fn rewritten(root: &Path, change: impl FnOnce(&mut Vec<Line>)) {
    trained(root, honest);
    let mut changed = lines(root);
    change(&mut changed);
    for (step, head) in chain(root, run().digest().unwrap(), changed).into_iter().enumerate() {
        if checkpoint(root, step as u64).exists() {
            stated(root, step as u64, |state| state["journal"] = json!(head));
        }
    }
}

fn at(lines: &mut [Line], step: usize) -> &mut Line {
    &mut lines[step - 1]
}

/// Changes a checkpoint's state file.
fn stated(root: &Path, step: u64, change: impl FnOnce(&mut Value)) {
    let path = checkpoint(root, step).join("state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut state);
    fs::write(&path, serde_json::to_vec_pretty(&state).unwrap()).unwrap();
}

/// Changes one number of a tensor of a checkpoint, and updates its digest there.
fn number(directory: &Path, tensor: &str, index: usize, change: impl Fn(f32) -> f32) {
    let mut digests: BTreeMap<String, Digest> = BTreeMap::new();
    for file in ["model.safetensors", "optimizer.safetensors"] {
        let path = directory.join(file);
        let mut tensors = safetensors::read(&path).unwrap();
        if let Some(found) = tensors.get_mut(tensor) {
            let bytes = &mut found.bytes.as_chunks_mut::<4>().0[index];
            *bytes = change(f32::from_le_bytes(*bytes)).to_le_bytes();
            fs::remove_file(&path).unwrap();
            safetensors::write(&path, &tensors).unwrap();
        }
        let digest = |t: &safetensors::Tensor| tensor_digest(t.dtype, &t.shape, &t.bytes);
        digests.extend(tensors.iter().map(|(name, tensor)| (name.clone(), digest(tensor))));
    }
    let root = tensor_root(digests.iter().map(|(name, digest)| (name.as_str(), *digest)));
    let path = directory.join("state.json");
    let mut state: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    state["state"] = json!(root);
    fs::write(&path, serde_json::to_vec_pretty(&state).unwrap()).unwrap();
}

/// The state with its moment set to zero, through a checkpoint.
fn without_moment(state: State, tensor: &str) -> State {
    let directory = tempfile::tempdir().unwrap();
    let (run, step) = (run(), state.step);
    let digest = run.digest().unwrap();
    state.save(&run, &opened(directory.path()), b"{}", digest, state.digest(), digest).unwrap();
    let path = small::checkpoint(directory.path(), step);
    let size = safetensors::read(&path.join("optimizer.safetensors")).unwrap()[tensor].bytes.len() / 4;
    (0..size).for_each(|index| number(&path, tensor, index, |_| 0.0));
    State::load(&opened(directory.path()), step).unwrap().0
}

fn up(value: f32) -> f32 {
    f32::from_bits(value.to_bits() + 1)
}

/// The state with a number of its weights moved by one unit in the last place.
fn nudged(mut state: State, tensor: &str, index: usize) -> State {
    let range = state.weights.layout().iter().find(|(name, ..)| *name == tensor).unwrap().2;
    let value = &mut state.weights.values_mut()[range][index];
    *value = up(*value);
    state
}

/// Honest, except that step `at` is computed as `with` computes step `as_step`.
fn other_step(at: u64, as_step: u64, with: Run) -> impl Fn(&Path, State, &[Line]) -> (State, Line) {
    move |root, mut state, lines| {
        if lines.len() as u64 + 1 == at {
            state.step = Step(as_step - 1);
            return step_of(root, &with, state, lines);
        }
        honest(root, state, lines)
    }
}

const NORM: &str = "model.layers.0.input_layernorm.weight";
const UP: &str = "model.layers.1.mlp.up_proj.weight";

/// Replaces each of the first `count` tokens of a shard by another.
fn edit(path: &Path, count: usize) {
    // The start of its tokens, two bytes each.
    const FIRST: usize = 56;
    let mut tokens = fs::read(path).unwrap();
    (FIRST..FIRST + 2 * count).step_by(2).for_each(|at| tokens[at] = (tokens[at] + 1) % 32);
    fs::write(path, tokens).unwrap();
}

/// A way of tampering, how it is replayed, and the expected finding.
struct Case {
    name: &'static str,
    make: Box<dyn Fn(&Path)>,
    /// The run file used for the replay.
    run: Run,
    stretch: (u64, u64),
    localise: bool,
    kind: DifferenceKind,
    step: u64,
    /// What the text or places must contain.
    says: &'static [&'static str],
}

fn case(
    name: &'static str,
    make: impl Fn(&Path) + 'static,
    stretch: (u64, u64),
    (kind, step, says): (DifferenceKind, u64, &'static [&'static str]),
) -> Case {
    Case { name, make: Box::new(make), run: run(), stretch, localise: false, kind, step, says }
}

/// Changes of the run file, after an honest run.
fn edited(name: &'static str, from: &str, to: &str, step: u64, says: &'static [&'static str]) -> Case {
    let edited = changed(from, to);
    let start = if step > 8 { 8 } else { 4 };
    Case { run: edited, ..case(name, |root| trained(root, honest), (start, 12), (DifferenceKind::Config, step, says)) }
}

fn localised(case: Case) -> Case {
    Case { localise: true, ..case }
}

fn checkpoint(root: &Path, step: u64) -> PathBuf {
    small::checkpoint(output(root), Step(step))
}

#[allow(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case> {
    use DifferenceKind::{Arithmetic, Checkpoint, Config, Data, Record};
    let touched = |step: u64, tensor: &'static str| {
        move |root: &Path| {
            trained(root, honest);
            number(&checkpoint(root, step), tensor, 3, up);
        }
    };
    vec![
        // The run file, after the run.
        edited("the seed in the run file", "seed: 1", "seed: 2", 5, &["seed was 1 and is 2"]),
        edited("a peak of the run file", "peak: 0.01,", "peak: 0.011,", 9, &["phases[1].learning_rate.peak"]),
        edited("the weight decay of the run file", "decay: 0.1", "decay: 0.2", 5, &["optimizer.weight_decay"]),
        edited(
            "the micro-batch of the run file",
            "micro_batch_size: 2",
            "micro_batch_size: 3",
            5,
            &["micro_batch_size"],
        ),
        case(
            "the run that is kept beside the journal",
            |root| {
                trained(root, honest);
                let other = changed("seed: 1", "seed: 3");
                fs::write(output(root).join(RECORDED_RUN), serde_json::to_vec(&other).unwrap()).unwrap();
            },
            (4, 8),
            (Record, 4, &["run.json"]),
        ),
        // The journal, after the run, with a consistent chain.
        case(
            "a loss in the journal",
            |root| {
                rewritten(root, |lines| {
                    let line = at(lines, 6);
                    line.loss *= 0.5;
                    line.loss_bits = format!("{:016x}", line.loss.to_bits());
                });
            },
            (4, 8),
            (Record, 6, &["loss"]),
        ),
        case(
            "a learning rate in the journal",
            |root| rewritten(root, |lines| at(lines, 7).learning_rate *= 2.0),
            (4, 8),
            (Record, 7, &["learning_rate"]),
        ),
        case(
            "a gradient's norm in the journal",
            |root| rewritten(root, |lines| at(lines, 5).grad_norm += 1e-9),
            (4, 8),
            (Record, 5, &["grad_norm"]),
        ),
        case(
            "tokens in the journal",
            |root| rewritten(root, |lines| at(lines, 6).tokens = retrace_spec::Tokens(1)),
            (4, 8),
            (Record, 6, &["tokens"]),
        ),
        case(
            "the batches of two lines, exchanged",
            |root| {
                rewritten(root, |lines| {
                    let (batch, sequences) = (lines[5].batch, lines[5].sequences.clone());
                    (lines[5].batch, lines[5].sequences) = (lines[6].batch, lines[6].sequences.clone());
                    (lines[6].batch, lines[6].sequences) = (batch, sequences);
                });
            },
            (4, 8),
            (Record, 6, &["batch", "sequences"]),
        ),
        case(
            "a digest of weights in the journal",
            |root| rewritten(root, |lines| at(lines, 6).weights = Digest::of(b"others")),
            (4, 8),
            (Record, 6, &["weights"]),
        ),
        case(
            "all that a line says of weights",
            |root| {
                rewritten(root, |lines| {
                    let other = Digest::of(b"others");
                    at(lines, 6).tensors = (0..lines[5].tensors.count()).map(|_| &other).collect::<Checks>();
                    at(lines, 6).weights = other;
                });
            },
            (4, 8),
            (Record, 6, &["the step after it follows"]),
        ),
        case(
            "a step called an outlier",
            |root| rewritten(root, |lines| at(lines, 7).outlier = true),
            (4, 8),
            (Record, 7, &["outlier"]),
        ),
        // The journal, with an inconsistent chain.
        case(
            "a line that was taken out",
            |root| {
                trained(root, honest);
                let path = output(root).join(Journal::NAME);
                let text = fs::read_to_string(&path).unwrap();
                let kept: Vec<&str> = text.lines().enumerate().filter(|(at, _)| *at != 5).map(|(_, l)| l).collect();
                fs::write(&path, kept.join("\n") + "\n").unwrap();
            },
            (4, 8),
            (Record, 6, &["line 6 of the journal"]),
        ),
        case(
            "a line that was changed alone",
            |root| {
                trained(root, honest);
                let path = output(root).join(Journal::NAME);
                let text = fs::read_to_string(&path).unwrap();
                fs::write(&path, text.replacen("\"phase\":\"one\"", "\"phase\":\"One\"", 1)).unwrap();
            },
            (4, 8),
            (Record, 2, &["the digest of the line before"]),
        ),
        case(
            "the journal's end, cut off",
            |root| rewritten(root, |lines| lines.truncate(6)),
            (4, 8),
            (Record, 7, &["ends before it, at step 6"]),
        ),
        // Checkpoints, after the run.
        localised(case(
            "a weight of the start, by one unit in the last place",
            touched(4, UP),
            (4, 8),
            (Checkpoint, 4, &[UP, "[3]", "1 unit"]),
        )),
        localised(case(
            "a moment of the start, zeroed",
            |root| {
                trained(root, honest);
                number(&checkpoint(root, 4), "second_moment.model.norm.weight", 0, |_| 0.0);
            },
            (4, 8),
            (Checkpoint, 4, &["second_moment.model.norm.weight"]),
        )),
        case(
            "a moment of the start, without looking closer",
            |root| {
                trained(root, honest);
                number(&checkpoint(root, 4), "first_moment.model.norm.weight", 0, |_| 0.0);
            },
            (4, 8),
            (Checkpoint, 4, &["moments", "--localise"]),
        ),
        case("a weight of the end", touched(8, NORM), (4, 8), (Checkpoint, 8, &[NORM, "1 unit"])),
        case("a weight of the first checkpoint", touched(0, UP), (0, 4), (Checkpoint, 0, &[UP, "1 unit"])),
        case(
            "a checkpoint of another run in place",
            |root| {
                trained(root, honest);
                let other = tempfile::tempdir().unwrap();
                prepare(other.path());
                small::train(&opened(other.path()), &changed("seed: 1", "seed: 2"), false, &Silent).unwrap();
                fs::remove_dir_all(checkpoint(root, 4)).unwrap();
                copy(&checkpoint(other.path(), 4), &checkpoint(root, 4));
            },
            (4, 8),
            (Checkpoint, 4, &["state.json says that run"]),
        ),
        case(
            "an earlier checkpoint in place of the end",
            |root| {
                trained(root, honest);
                fs::remove_dir_all(checkpoint(root, 8)).unwrap();
                copy(&checkpoint(root, 4), &checkpoint(root, 8));
                stated(root, 8, |state| state["step"] = json!(8));
            },
            (4, 8),
            (Checkpoint, 8, &["model.embed_tokens.weight"]),
        ),
        case(
            "the updates that a checkpoint states",
            |root| {
                trained(root, honest);
                stated(root, 4, |state| state["updates"] = json!(40));
            },
            (4, 8),
            (Record, 4, &["updates"]),
        ),
        case(
            "the tokens that a checkpoint states",
            |root| {
                trained(root, honest);
                stated(root, 8, |state| state["tokens"] = json!(1));
            },
            (4, 8),
            (Record, 8, &["tokens"]),
        ),
        case(
            "how far apart positions are, in a checkpoint's config.json",
            |root| {
                trained(root, honest);
                let path = checkpoint(root, 8).join("config.json");
                let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
                config["rope_theta"] = json!(7.5);
                fs::write(&path, config.to_string()).unwrap();
            },
            (4, 8),
            (Record, 8, &["config.json"]),
        ),
        case(
            "a checkpoint's tokenizer",
            |root| {
                trained(root, honest);
                fs::write(checkpoint(root, 4).join("tokenizer.json"), "{ }").unwrap();
            },
            (4, 8),
            (Record, 4, &["tokenizer.json"]),
        ),
        // The tokens, after the run.
        case(
            "a document edited",
            |root| {
                trained(root, honest);
                let read = || {
                    (1..=12).map(|step| Batches::open(&opened(root), &run()).unwrap().batch(Step(step)).unwrap().inputs)
                };
                let before: Vec<_> = read().collect();
                edit(&root.join("b.tokens"), 700);
                let first = before.iter().zip(read()).position(|(before, after)| *before != after);
                assert_eq!(first, Some(2), "step 3 is the first that reads of the document");
            },
            (0, 12),
            (Data, 3, &["b.tokens", "raw.jsonl:1"]),
        ),
        // Changes by the trainer.
        case(
            "a batch of another step",
            |root| trained(root, other_step(6, 9, run())),
            (4, 8),
            (Data, 6, &["batch of step 9"]),
        ),
        case(
            "two batches exchanged",
            |root| {
                trained(root, |root, state, lines| match lines.len() + 1 {
                    6 => other_step(6, 7, run())(root, state, lines),
                    7 => other_step(7, 6, run())(root, state, lines),
                    _ => honest(root, state, lines),
                });
            },
            (4, 8),
            (Data, 6, &["batch of step 7"]),
        ),
        case("a step repeated", |root| trained(root, other_step(6, 5, run())), (4, 8), (Data, 6, &["batch of step 5"])),
        case(
            "a step skipped, and all after it one early",
            |root| {
                trained(root, |root, state, lines| {
                    let step = lines.len() as u64 + 1;
                    other_step(step, if (6..12).contains(&step) { step + 1 } else { step }, run())(root, state, lines)
                });
            },
            (4, 8),
            (Data, 6, &["batch of step 7"]),
        ),
        case(
            "a step that moved nothing",
            |root| {
                trained(root, |root, state, lines| {
                    let (after, mut line) = honest(root, state.clone(), lines);
                    if lines.len() + 1 == 6 {
                        describe(&mut line, &state);
                        return (state, line);
                    }
                    (after, line)
                });
            },
            (4, 8),
            (Arithmetic, 6, &["changed no weight"]),
        ),
        case(
            "another seed from the middle on",
            |root| {
                trained(root, |root, state, lines| {
                    let with = if lines.len() < 5 { run() } else { Run { seed: Seed(2), ..run() } };
                    step_of(root, &with, state, lines)
                });
            },
            (4, 8),
            (Data, 6, &["none of its 6 sequences"]),
        ),
        case(
            "other tokens for a step than those that are published",
            |root| {
                trained(root, |root, state, lines| {
                    if lines.len() + 1 != 6 {
                        return honest(root, state, lines);
                    }
                    let other = tempfile::tempdir().unwrap();
                    prepare(other.path());
                    for name in ["a.tokens", "b.tokens"] {
                        edit(&other.path().join(name), 1000);
                    }
                    step_of(other.path(), &run(), state, lines)
                });
            },
            (4, 8),
            (Data, 6, &["of its 6 sequences", "raw.jsonl:"]),
        ),
        case(
            "one learning rate for one step",
            |root| trained(root, other_step(6, 6, changed("peak: 0.02", "peak: 0.03"))),
            (4, 8),
            (Config, 6, &["phases[0].learning_rate"]),
        ),
        case(
            "one learning rate for one step, and another in the journal",
            |root| {
                trained(root, |root, state, lines| {
                    let rate = honest(root, state.clone(), lines).1.learning_rate;
                    let (state, line) = other_step(6, 6, changed("peak: 0.02", "peak: 0.03"))(root, state, lines);
                    (state, Line { learning_rate: rate, ..line })
                });
            },
            (4, 8),
            (Arithmetic, 6, &["but the update differs", UP]),
        ),
        case(
            "another loss for one step",
            |root| trained(root, other_step(6, 6, changed("mask_document_ends", "z_loss: 0.1\nmask_document_ends"))),
            (4, 8),
            (Arithmetic, 6, &["but the gradient differs", UP]),
        ),
        case(
            "document ends that count, for one step",
            |root| trained(root, other_step(9, 9, changed("mask_document_ends: true", "mask_document_ends: false"))),
            (8, 12),
            (Data, 9, &["of its 6 sequences"]),
        ),
        case(
            "a weight by one unit in the last place, in mid-run",
            |root| {
                trained(root, |root, state, lines| {
                    let (state, mut line) = honest(root, state, lines);
                    if line.step != Step(6) {
                        return (state, line);
                    }
                    let state = nudged(state, NORM, 2);
                    describe(&mut line, &state);
                    (state, line)
                });
            },
            (4, 8),
            (Arithmetic, 6, &["but the update differs", NORM]),
        ),
        localised(case(
            "a weight by one unit in the last place, at a checkpoint",
            |root| {
                trained(root, |root, state, lines| {
                    let (state, mut line) = honest(root, state, lines);
                    if line.step != Step(8) {
                        return (state, line);
                    }
                    let state = nudged(state, UP, 5);
                    describe(&mut line, &state);
                    (state, line)
                });
            },
            (4, 8),
            (Arithmetic, 8, &[UP, "[5]", "1 unit"]),
        )),
        case(
            "a moment zeroed in mid-run",
            |root| {
                trained(root, |root, state, lines| {
                    let zeroed = lines.len() + 1 == 7;
                    let state = if zeroed { without_moment(state, "first_moment.model.norm.weight") } else { state };
                    honest(root, state, lines)
                });
            },
            (4, 8),
            (Arithmetic, 7, &["but the update differs", "model.norm.weight"]),
        ),
        case(
            "a moment zeroed at a checkpoint",
            |root| {
                trained(root, |root, state, lines| {
                    let (state, line) = honest(root, state, lines);
                    if line.step != Step(8) {
                        return (state, line);
                    }
                    (without_moment(state, "first_moment.model.norm.weight"), line)
                });
            },
            (4, 8),
            (Arithmetic, 8, &["moments", "first_moment.model.norm.weight"]),
        ),
    ]
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

fn told(found: &Finding) -> String {
    let element = found.element.as_ref().map_or_else(String::new, |element| {
        format!("; {}[{}], {} unit(s)", element.tensor, element.index, element.units_in_last_place).replace("(s)", "")
    });
    format!("step {}, {}: {} {:?}{element}", found.step, found.kind.told(), found.what, found.places)
}

#[test]
fn each_is_found_and_rightly_named() {
    let cases = cases();
    let mut wrong = 0;
    for Case { name, make, run, stretch: (from, to), localise, kind, step, says } in &cases {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path());
        let replayed: Replay =
            replay(&opened(directory.path()), run, (Step(*from), Step(*to)), *localise, &Silent).unwrap();
        let all = replayed.findings.iter().map(told).collect::<Vec<_>>();
        // There must be no finding of another kind.
        let right = replayed.findings.iter().all(|found| found.kind == *kind)
            && replayed
                .findings
                .first()
                .is_some_and(|found| found.step == Step(*step) && says.iter().all(|words| told(found).contains(words)));
        println!("{} {name}\n         {}", if right { "found   " } else { "MISNAMED" }, all.join("\n         "));
        wrong += usize::from(!right);
    }
    println!("{} of {} found and rightly named", cases.len() - wrong, cases.len());
    assert_eq!(wrong, 0);
}

/// Neither finding hides the other.
#[test]
fn a_changed_run_file_and_a_changed_start_are_both_told() {
    let directory = tempfile::tempdir().unwrap();
    trained(directory.path(), honest);
    number(&checkpoint(directory.path(), 4), UP, 3, up);
    let replayed =
        replay(&opened(directory.path()), &changed("seed: 1", "seed: 2"), (Step(4), Step(8)), false, &Silent).unwrap();
    let kinds: Vec<DifferenceKind> = replayed.findings.iter().map(|found| found.kind).collect();
    assert_eq!(kinds, [DifferenceKind::Config, DifferenceKind::Checkpoint]);
    assert!(!replayed.findings[0].what.contains("the same"), "{}", replayed.findings[0].what);
}

#[test]
fn an_honest_run_has_no_finding() {
    let directory = tempfile::tempdir().unwrap();
    trained(directory.path(), honest);
    for stretch in [(0, 12), (4, 8), (8, 12), (4, 7)] {
        for localise in [false, true] {
            let stretch = (Step(stretch.0), Step(stretch.1));
            let replayed = replay(&opened(directory.path()), &run(), stretch, localise, &Silent).unwrap();
            assert!(replayed.holds() && replayed.reached == stretch.1, "{replayed:?}");
        }
    }
}
