#!/usr/bin/env bash
# Makes a repository of Composer in /mirror with one package. URL is the address at which it is served.
set -euo pipefail

mkdir -p /tmp/greeting/src /mirror/dist
cd /tmp/greeting
cat >composer.json <<'JSON'
{ "name": "example/greeting", "type": "library", "autoload": { "psr-4": { "Greeting\\": "src/" } } }
JSON
cat >src/Greeting.php <<'PHP'
<?php

namespace Greeting;

final class Greeting
{
    public static function language(): string
    {
        return " on PHP " . PHP_VERSION;
    }
}
PHP
php -r '
    $zip = new ZipArchive();
    $zip->open("/mirror/dist/greeting-1.0.0.zip", ZipArchive::CREATE);
    foreach (["composer.json", "src/Greeting.php"] as $file) {
        $zip->addFile($file);
    }
    $zip->close();
    $file = "dist/greeting-1.0.0.zip";
    $package = json_decode(file_get_contents("composer.json"), true) + [
        "version" => "1.0.0",
        "dist" => ["type" => "zip", "url" => getenv("URL") . "/$file", "shasum" => sha1_file("/mirror/$file")],
    ];
    file_put_contents("/mirror/packages.json", json_encode(["packages" => ["example/greeting" => ["1.0.0" => $package]]]));'
chmod -R a+rX /mirror
