//! The time of a fit of Hoffmann 3 with its bootstrap, for `benches/scaling.sh`.
//!
//! `scaling_speed POINTS.csv SAMPLES`: the file has a header and rows `params,tokens,loss`. Prints one line of JSON.

#![allow(clippy::print_stdout)]

use std::time::Instant;

use retrace_analysis::scaling::{Point, Points, bootstrap, fit};
use retrace_spec::recipe::scaling::{Bootstrap, FitOptions, Grid, LawName, Resampling};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (path, samples) = arguments.next().zip(arguments.next()).ok_or("usage: scaling_speed POINTS.csv SAMPLES")?;
    let mut rows = Vec::new();
    for line in std::fs::read_to_string(path)?.lines().skip(1) {
        let numbers: Vec<f64> = line.split(',').map(str::parse).collect::<Result<_, _>>()?;
        let &[params, tokens, loss] = numbers.as_slice() else { return Err("a row needs three numbers".into()) };
        rows.push(Point::new(params, tokens, loss));
    }
    let points = Points::new(None, None, rows)?;
    let options = FitOptions::default();
    let began = Instant::now();
    let found = fit(&points, LawName::Hoffmann3, &options)?;
    let grid = began.elapsed().as_secs_f64();
    // The bootstrap fits first; from the optimum, that takes nothing beside the resamples.
    let options = FitOptions { grid: Grid::one(LawName::Hoffmann3, &found.values()), ..options };
    let way = Bootstrap { by: Resampling::Case, samples: samples.parse()?, ..Bootstrap::default() };
    let began = Instant::now();
    bootstrap(&points, LawName::Hoffmann3, &options, &way)?;
    let resamples = began.elapsed().as_secs_f64();
    let (tried, reached, objective, parameters) =
        (found.starts.tried, found.starts.reached, found.objective, found.values());
    println!(
        "{{\"starts\":{tried},\"reached\":{reached},\"grid_seconds\":{grid:.4},\"resamples_seconds\":{resamples:.4},\"objective\":{objective:?},\"parameters\":{parameters:?}}}"
    );
    Ok(())
}
