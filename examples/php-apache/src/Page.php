<?php

declare(strict_types=1);

namespace Example;

/** The only page of the app. */
final class Page
{
    public function text(): string
    {
        $poweredBy = getenv('POWERED_BY') ?: 'Deis Workflow';

        return "php-apache example, powered by $poweredBy on PHP " . PHP_VERSION . "\n";
    }
}
