#!/usr/bin/env bash
# Makes an index of gems in /mirror, as Bundler reads it, out of gems that Debian has as packages.
set -euo pipefail

cd /tmp
apt-get update --quiet=2
apt-get download --quiet=2 ruby-sinatra ruby-rack ruby-rack-protection ruby-rack-session ruby-tilt ruby-mustermann ruby-rackup ruby-webrick
for package in *.deb; do dpkg-deb --extract "$package" unpacked; done
ruby - <<'RUBY'
require "digest"
require "fileutils"
require "rubygems/package"

FileUtils.mkdir_p(%w[/mirror/gems /mirror/info])
folders = Dir["/tmp/unpacked/usr/share/rubygems-integration/all/specifications/*.gemspec"].to_h do |file|
  [Gem::Specification.load(file), file.sub("/specifications/", "/gems/").delete_suffix(".gemspec")]
end
# Gems that are parts of Ruby: their files are among its own.
%w[base64 logger ruby2_keywords].each do |name|
  spec = Gem::Specification.find_by_name(name)
  folder = "/tmp/own/#{name}"
  FileUtils.mkdir_p("#{folder}/lib")
  FileUtils.cp_r(Dir["#{RbConfig::CONFIG["rubylibdir"]}/#{name}{,.rb}"], "#{folder}/lib")
  folders[spec] = folder
end
versions = ["created_at: 2026-01-01T00:00:00Z", "---"]
folders.sort_by { |spec, _| spec.name }.each do |spec, folder|
  path = "/mirror/gems/#{spec.full_name}.gem"
  Dir.chdir(folder) do
    spec.files = Dir["**/*"].select { |name| File.file?(name) }
    spec.bindir = "bin"
    spec.executables = Dir.children("bin").sort if File.directory?("bin")
    Gem::Package.build(spec, true, false, path)
  end
  needs = spec.runtime_dependencies.map { |need| "#{need.name}:#{need.requirement.to_s.gsub(", ", "&")}" }.join(",")
  info = "---\n#{spec.version} #{needs}|checksum:#{Digest::SHA256.file(path).hexdigest}\n"
  File.write("/mirror/info/#{spec.name}", info)
  versions << "#{spec.name} #{spec.version} #{Digest::MD5.hexdigest(info)}"
end
File.write("/mirror/versions", versions.join("\n") + "\n")
RUBY
chmod -R a+rX /mirror
