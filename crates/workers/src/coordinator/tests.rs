//! Workers that have the token and misbehave.

use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::worker::{Stream, Way, join};

const RUN: &str = "retrace: run/1
name: small
seed: 1
numerics: 1
model: {architecture: llama, vocab_size: 64, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 1,
  num_attention_heads: 2, num_key_value_heads: 2, max_position_embeddings: 64, rope_theta: 10000.0,
  rms_norm_eps: 1.0e-5, initializer_range: 0.05}
tokenizer: tokenizer.json
output: runs/small
sequence_length: 64
batch_size: 4
micro_batch_size: 1
optimizer: {beta1: 0.9, beta2: 0.95, epsilon: 1.0e-8, weight_decay: 0.1, clip: 1.0}
phases:
  - {name: one, steps: 10, learning_rate: {schedule: cosine, warmup: 1, peak: 0.01, floor: 0.001},
     mix: [{tokens: a.tokens, share: 1}]}
checkpoint_every: 10
";
const DEADLINE: Duration = Duration::from_millis(1500);
const MICRO_BATCHES: usize = 4;

/// A coordinator, its events, and a runtime for those that join it.
struct Scene {
    run: Run,
    token: Token,
    workers: Workers,
    address: String,
    events: Receiver<Event>,
    runtime: Runtime,
}

impl Scene {
    fn new() -> Self {
        let (run, token): (Run, Token) = (Run::parse(RUN, "run.yaml").unwrap(), "0123456789abcdef".parse().unwrap());
        let (tell, events) = channel();
        let mut workers = Workers::new(&run, DEADLINE, move |event| {
            let _ = tell.send(event);
        })
        .unwrap();
        let address = workers.listen("127.0.0.1:0", &token).unwrap().to_string();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { run, token, workers, address, events, runtime }
    }

    fn join(&self) -> Stream {
        let way = Way::Address { address: &self.address, token: &self.token, patience: Duration::ZERO };
        let joined = join(&self.runtime, &self.run, way).unwrap();
        assert!(matches!(self.event(), Event::Joined { .. }));
        joined
    }

    fn event(&self) -> Event {
        self.events.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    /// Begins a step with this many bytes of weights.
    fn post(&self, bytes: usize) {
        let weights = || Bytes::from(vec![7; bytes]);
        self.workers.door.board.post(Step(1), Digest::of(b"batch"), MICRO_BATCHES, weights);
    }

    /// Acts as a correct worker in the step, until all except this many micro-batches are finished.
    fn honest(&self, stream: &mut Stream, but: usize) {
        let mut left = MICRO_BATCHES - but;
        while left > 0 {
            let order = self.runtime.block_on(stream.1.message()).unwrap().unwrap().order.unwrap();
            let Order::Task(task) = order else { continue };
            left -= task.count as usize;
            answer(stream, &task, usize::MAX);
        }
    }

    /// Checks that the worker is reported when half its time is over, and disconnected at the end of it.
    fn is_let_go(&self, began: Instant, worker: u64) {
        match self.event() {
            Event::Slow { worker: slow, .. } => assert_eq!(slow, worker),
            event => panic!("{event:?}"),
        }
        assert!(began.elapsed() >= DEADLINE / 2);
        self.has_left(began, worker);
    }

    fn has_left(&self, began: Instant, worker: u64) {
        let event = loop {
            match self.event() {
                // The next task, which it also has, waits for the same time.
                Event::Slow { .. } => {}
                event => break event,
            }
        };
        let Event::Left { worker: left, why } = event else { panic!("{event:?}") };
        assert_eq!(left, worker);
        assert!(why.starts_with("it did not finish micro-batches ") && why.ends_with(" within 2 s"), "{why}");
        assert!(began.elapsed() >= DEADLINE);
    }
}

/// Answers a task with at most this many bytes of the gradient.
fn answer(stream: &Stream, task: &Task, most: usize) {
    let parameters = retrace_model::Layout::of(&Run::parse(RUN, "run.yaml").unwrap().model).parameters();
    let gradient = floats::to_bytes(vec![0.5; parameters]);
    let losses = Losses { bits: vec![1f64.to_bits(); task.count as usize] };
    let sent = gradient.slice(..gradient.len().min(most));
    for answer in [Answer::Losses(losses)].into_iter().chain(floats::chunks(sent).map(Answer::Gradient)) {
        stream.0.send(FromWorker { answer: Some(answer) }).unwrap();
    }
}

#[test]
fn a_silent_worker_is_let_go_and_its_task_is_anothers() {
    let scene = Scene::new();
    let mut silent = scene.join();
    let began = Instant::now();
    scene.post(1000);
    // It has its task before the other joins.
    let mut task = None;
    while task.is_none() {
        let order = scene.runtime.block_on(silent.1.message()).unwrap().unwrap().order.unwrap();
        task = matches!(order, Order::Task(_)).then_some(order);
    }
    let mut other = scene.join();
    scene.honest(&mut other, 1);
    scene.is_let_go(began, 1);
    let heard = scene.runtime.block_on(silent.1.message()).unwrap_err();
    assert!(heard.message().starts_with("it did not finish micro-batches 1 to 1 of step 1 within"), "{heard}");
    let after = Instant::now();
    scene.honest(&mut other, MICRO_BATCHES - 1);
    let mut at = 0;
    while at < MICRO_BATCHES {
        match scene.workers.door.board.next(at) {
            Next::Block(count, _) => at += count,
            Next::Local(range) => panic!("{range:?} was nobody's"),
        }
    }
    assert!(after.elapsed() < Duration::from_secs(1), "it was given to the other at once");
}

#[test]
fn the_last_worker_to_be_silent_leaves_its_work_to_the_trainer() {
    let scene = Scene::new();
    let _silent = scene.join();
    let began = Instant::now();
    scene.post(1000);
    assert!(matches!(scene.workers.door.board.next(0), Next::Local(range) if range == (0..1)));
    scene.is_let_go(began, 1);
}

#[test]
fn a_worker_that_does_not_take_what_it_is_sent_is_let_go() {
    let scene = Scene::new();
    let _silent = scene.join();
    let began = Instant::now();
    // More than the maximum in transit.
    scene.post(64 << 20);
    scene.has_left(began, 1);
}

#[test]
fn a_worker_that_sends_half_a_gradient_is_let_go() {
    let scene = Scene::new();
    let mut half = scene.join();
    let began = Instant::now();
    scene.post(1000);
    loop {
        let order = scene.runtime.block_on(half.1.message()).unwrap().unwrap().order.unwrap();
        if let Order::Task(task) = order {
            answer(&half, &task, 4096);
            break;
        }
    }
    scene.is_let_go(began, 1);
}
