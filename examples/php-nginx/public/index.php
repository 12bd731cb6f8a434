<?php

declare(strict_types=1);

$poweredBy = getenv('POWERED_BY') ?: 'Deis Workflow';
header('Content-Type: text/plain; charset=utf-8');
echo "php-nginx example, powered by $poweredBy on PHP ", PHP_VERSION, "\n";
