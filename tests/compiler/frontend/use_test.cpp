#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "tests/compiler/frontend/sources.h"
#include "tests/support/temporary.h"

namespace mlpc::testing {
namespace {

namespace fs = std::filesystem;

/// A folder of sources.
class Folder {
 public:
  Folder& add(const std::string& name, const std::string& text) {
    const fs::path path = directory_.file(name);
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return *this;
  }
  Outcome elaborate(const std::string& source, const frontend::FrontendOptions& options = {}) const {
    frontend::Diagnostics diagnostics;
    std::vector<std::unique_ptr<frontend::SourceFile>> files;
    Outcome out;
    out.program = frontend::parse_net(source, directory_.file("main.net"), options, diagnostics, files);
    out.errors = diagnostics.text();
    return out;
  }
  double value(const std::string& source, const frontend::FrontendOptions& options = {}) const {
    const Outcome out = elaborate(source, options);
    REQUIRE_MESSAGE(out.program, out.errors);
    return run(*out.program, "infer", {}).at("y").at(0);
  }

 private:
  TemporaryDirectory directory_;
};

}  // namespace

TEST_CASE("use brings in what a file defines; that sees its own file's names") {
  Folder folder;
  folder.add("parts/a.net", "use \"deep/b.net\"\nconst K = 3\nfn f(x) = K * g(x)\n");
  folder.add("parts/deep/b.net", "fn g(x) = 10 * x\n");
  CHECK(folder.value("use \"parts/a.net\"\n" + model("output y = f64(f(2))")) == 60);
  CHECK(folder.value("use \"parts/a.net\"\n" + model("output y = f64(f(2))"), {.defines = {{"K", "4"}}}) ==
        80);
  // What a used file uses is its own affair, and a file reached twice is one.
  CHECK(folder.elaborate("use \"parts/a.net\"\n" + model("output y = f64(g(2))"))
            .errors.find("[unknown-name]") != std::string::npos);
  CHECK(folder.value("use \"parts/a.net\"\nuse \"parts/deep/b.net\"\nuse \"parts/../parts/a.net\"\n" +
                     model("output y = f64(f(g(2)))")) == 600);
}

TEST_CASE("cycles, clashes, and files outside are errors") {
  Folder folder;
  folder.add("a.net", "use \"b.net\"\nfn f(x) = x\n");
  folder.add("b.net", "use \"a.net\"\nfn f(x) = 2 * x\n");
  folder.add("c.net", "fn f(x) = 3 * x\n");
  folder.add("d.net", "fn f(x) = 4 * x\n");
  const auto fails = [&](const std::string& uses, std::string_view text) {
    return folder.elaborate(uses + model("output y = f64(1)")).errors.find(text) != std::string::npos;
  };
  CHECK(fails("use \"a.net\"\n", "`a.net` is being read already"));
  CHECK(fails("use \"c.net\"\nuse \"d.net\"\n", "`f` is defined in two files"));
  CHECK(fails("use \"c.net\"\nfn f(x) = x\n", "[duplicate-name]"));
  CHECK(fails("use \"../../../../../etc/passwd\"\n", "[bad-use]"));
  CHECK(fails("use \"/etc/passwd\"\n", "is outside the folder"));
  CHECK(fails("use \".\"\n", "cannot be read"));
  CHECK(fails("use \"main.net\"\n", "[bad-use]"));
}

TEST_CASE("the hash is of all that was read") {
  Folder folder;
  std::string hashed;
  const frontend::FrontendOptions options{.hash = [&](std::string_view text) { return hashed = text; }};
  folder.add("c.net", "fn f(x) = 3 * x\n");
  folder.value("use \"c.net\"\n" + model("output y = f64(f(1))"), options);
  CHECK(hashed.find("fn f(x) = 3 * x") != std::string::npos);
  CHECK(hashed.starts_with("use \"c.net\"\n"));
}

}  // namespace mlpc::testing
