<?php

require __DIR__ . '/../vendor/autoload.php';

header('Content-Type: text/plain; charset=utf-8');
$poweredBy = getenv('POWERED_BY') ?: 'Deis Workflow';
echo 'php-composer example', Greeting\Greeting::language(), ", $poweredBy\n";
