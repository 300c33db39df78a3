#pragma once

namespace mlpc::bench {

/// What this machine does at this moment; other loads, its clock and its neighbours change it.
struct Limits {
  double peak_gflops;    // f32 multiply-adds (2 flops each) in registers, all threads together
  double read_gbps;      // reading 8 MiB a thread again and again
  double round_trip_us;  // handing one task to each worker of the pool and having them back
};

/// Takes about 30 ms.
Limits measure_limits(int threads);

}  // namespace mlpc::bench
